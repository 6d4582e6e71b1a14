"""authx: a token is made at the login, and asked for."""

from authx import AuthX, AuthXConfig
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

app = FastAPI()
config = AuthXConfig(
    JWT_ALGORITHM="HS256",
    JWT_SECRET_KEY="a secret of thirty-two bytes or so",
    JWT_TOKEN_LOCATION=["headers"],
)
auth = AuthX(config=config)
auth.handle_errors(app)


@app.get("/login")
def login(username: str, password: str) -> dict[str, str]:
    if (username, password) == ("test", "test"):
        return {"access_token": auth.create_access_token(uid=username)}
    raise HTTPException(401, detail={"message": "Invalid credentials"})


@app.get("/protected", dependencies=[Depends(auth.get_token_from_request)])
async def protected(payload: object = Depends(auth.access_token_required)) -> dict[str, str]:
    return {"message": payload.sub}


client = TestClient(app)
assert client.get("/login", params={"username": "a", "password": "b"}).status_code == 401
token = client.get("/login", params={"username": "test", "password": "test"}).json()["access_token"]
answer = client.get("/protected", headers={"Authorization": f"Bearer {token}"})
assert answer.json() == {"message": "test"}, answer.text
assert client.get("/protected").status_code == 401
