"""Uses the client of examples/shop: registers, logs in, uploads and orders."""

import sys

import pytest
import shop
from shop import Client


def main(url: str) -> None:
    with Client(url) as client:
        client.register(shop.UserCreate(email="keeper@shop.example", password="secret"))
        with pytest.raises(shop.ApiError, match="409 Conflict") as again:
            client.register(shop.UserCreate(email="keeper@shop.example", password="secret"))
        assert again.value.content == {"detail": "The address is registered already"}
        with pytest.raises(shop.ApiError, match="401 Unauthorized"):
            client.read_me()
        token = client.login(username="keeper@shop.example", password="secret")
        client.credentials.oauth2_password_bearer = token.access_token
        assert client.read_me().email == "keeper@shop.example"
        cup = client.create_item(shop.ItemBase(name="Cup", price="4.50", stock=3))
        assert (cup.price, cup.stock) == ("4.50", 3)
        with pytest.raises(shop.UnprocessableContentError) as wrong:
            client.create_item(shop.ItemBase(name="C", price=-1))
        assert wrong.value.content.detail is not None
        assert [each.loc[-1] for each in wrong.value.content.detail] == ["name", "price"]
        assert [each.name for each in client.list_items(q="Cu", limit=1)] == ["Cup"]
        picture = client.upload_picture(cup.id, picture=("cup.png", b"\x89PNG"), caption="A cup")
        assert (picture["name"], picture["caption"], picture["size"]) == ("cup.png", "A cup", 4)
        assert client.order(cup.id, quantity=2).total == "9.00"
        with pytest.raises(shop.ApiError, match="Only 1 left"):
            client.order(cup.id, quantity=2)
        assert client.put_in_cart(cup.id, quantity=5) == {str(cup.id): 5}
        assert client.read_cart() == {str(cup.id): 5}  # the session's cookie is httpx's to keep
        assert [each.item.name for each in client.list_orders()] == ["Cup"]


if __name__ == "__main__":
    main(sys.argv[1])
