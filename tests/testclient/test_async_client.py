"""AsyncClient: on the test's own loop, or beside it."""

import asyncio
import contextlib

import pytest
from fluvial import App, Loop, Request, StreamingResponse
from fluvial.testclient import AsyncClient


def make_app(loops: list) -> App:
    @contextlib.asynccontextmanager
    async def lifespan(app: App):
        loops.append(asyncio.get_running_loop())
        yield
        loops.append("stopped")

    app = App(lifespan=lifespan)

    @app.post("/")
    async def echo(request: Request) -> str:
        loops.append(asyncio.get_running_loop())
        return (await request.body()).decode()

    @app.get("/fail")
    async def fail() -> None:
        raise LookupError("here")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces():
            while True:
                yield b"piece"
                await asyncio.sleep(0.01)

        return StreamingResponse(pieces())

    return app


@pytest.mark.parametrize("factory", [Loop, asyncio.SelectorEventLoop])
def test_within_the_block(factory) -> None:
    loops: list = []

    async def main() -> None:
        async with AsyncClient(make_app(loops)) as client:
            answers = await asyncio.gather(*(client.post("/", content=str(n)) for n in range(3)))
            assert [answer.json() for answer in answers] == ["0", "1", "2"]
            with pytest.raises(LookupError, match="here"):
                await client.get("/fail")
            async with client.stream("GET", "/stream") as response:
                async for piece in response.aiter_bytes():
                    assert piece == b"piece"
                    break
        *used, last = loops
        assert last == "stopped"
        assert len(set(used)) == 1
        assert (used[0] is asyncio.get_running_loop()) == (factory is Loop)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_outside_of_it() -> None:
    loops: list = []

    async def main() -> None:
        client = AsyncClient(make_app(loops))
        assert (await client.post("/", content="a")).json() == "a"
        assert loops[0] is not asyncio.get_running_loop()
        assert len(loops) == 1
        await client.aclose()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("factory", [Loop, asyncio.SelectorEventLoop])
def test_what_the_startup_raises_is_raised(factory) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App):
        raise LookupError("startup")
        yield

    async def main() -> None:
        with pytest.raises(LookupError, match="startup"):
            async with AsyncClient(App(lifespan=lifespan)):
                pass

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
