"""sqladmin: a Starlette app of Route and Mount, mounted; pages, forms, files, a login, exports."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import StaticPool, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.requests import Request


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))

    def __str__(self) -> str:
        return self.name


engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add(User(name="first"))
    session.commit()


class Backend(AuthenticationBackend):
    async def login(self, request: Request) -> bool:
        form = await request.form()
        request.session.update({"user": form["username"]})
        return form["password"] == "right"

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return "user" in request.session


class UserAdmin(ModelView, model=User):
    column_list = (User.id, User.name)


app = FastAPI()
admin = Admin(app, engine, authentication_backend=Backend(secret_key="secret"))
admin.add_view(UserAdmin)


@app.get("/")
async def read_root():
    return "root"


with TestClient(app) as client:
    assert client.get("/").json() == "root"
    refused = client.get("/admin/user/list")
    assert str(refused.url) == "http://testserver/admin/login", refused.url
    wrong = client.post("/admin/login", data={"username": "me", "password": "wrong"})
    assert wrong.status_code == 400, wrong.status_code
    client.cookies.clear()
    entered = client.post("/admin/login", data={"username": "me", "password": "right"})
    assert (entered.status_code, str(entered.url)) == (200, "http://testserver/admin/")
    listed = client.get("/admin/user/list")
    assert "first" in listed.text
    assert "http://testserver/admin/statics/" in listed.text
    style = listed.text.split("http://testserver/admin/statics/")[1].split('"')[0]
    assert client.get(f"/admin/statics/{style}").status_code == 200
    created = client.post("/admin/user/create", data={"name": "second", "save": "Save"})
    assert str(created.url) == "http://testserver/admin/user/list"
    assert "second" in created.text
    edited = client.post("/admin/user/edit/2", data={"name": "changed", "save": "Save"})
    assert "changed" in edited.text
    assert "changed" in client.get("/admin/user/details/2").text
    exported = client.get("/admin/user/export/csv")
    assert exported.text.splitlines()[0] == "id,name"
    assert "2,changed" in exported.text
    assert client.delete("/admin/user/delete?pks=2").status_code == 200
    assert "changed" not in client.get("/admin/user/list").text
    assert client.get("/admin/nobody/list").status_code == 404
