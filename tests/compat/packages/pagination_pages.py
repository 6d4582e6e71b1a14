"""fastapi-pagination: the program of its README."""

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from fastapi_pagination import LimitOffsetPage, Page, add_pagination, paginate
from pydantic import BaseModel, Field


class UserOut(BaseModel):
    name: str = Field(...)
    surname: str = Field(...)


USERS = [UserOut(name=f"n{number}", surname="Doe") for number in range(120)]
app = FastAPI()
router = APIRouter(prefix="/more")


@app.get("/users")
async def get_users() -> Page[UserOut]:
    return paginate(USERS)


@router.get("/users", response_model=LimitOffsetPage[UserOut])
def get_more() -> object:
    return paginate(USERS)


app.include_router(router)
add_pagination(app)


@app.get("/late")
async def get_late() -> Page[UserOut]:
    return paginate(USERS)


with TestClient(app) as client:
    for path in ("/users", "/late"):
        page = client.get(path, params={"page": 2, "size": 50}).json()
        assert page["items"][0] == {"name": "n50", "surname": "Doe"}, page
        assert (page["total"], page["page"], page["size"], page["pages"]) == (120, 2, 50, 3)
        assert client.get(path, params={"size": 0}).status_code == 422
    page = client.get("/more/users", params={"limit": 3, "offset": 7}).json()
    assert [item["name"] for item in page["items"]] == ["n7", "n8", "n9"]
    operation = client.get("/openapi.json").json()["paths"]["/users"]["get"]
    assert [each["name"] for each in operation["parameters"]] == ["page", "size"]
