"""A web page that shows the answer while it is written. The key comes from ELKAPI_API_KEY.

pip install -r requirements.txt
python web.py  # then open http://127.0.0.1:8000
"""

import os
from collections.abc import Iterator

import elkapi
import fastapi
import uvicorn
from fastapi.responses import HTMLResponse, StreamingResponse

PAGE = """<!doctype html><meta charset="utf-8"><title>elkapi</title>
<form><input name="prompt" value="Name three seas." size="60"> <button>Ask</button></form><pre></pre>
<script>
document.querySelector("form").onsubmit = async (event) => {
  event.preventDefault();
  const place = document.querySelector("pre");
  place.textContent = "";
  const answer = await fetch("/answer?prompt=" + encodeURIComponent(event.target.prompt.value));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece; !(piece = await reader.read()).done;) place.textContent += piece.value;
};
</script>
"""

client = elkapi.Client()
app = fastapi.FastAPI()


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


# Not `async def`: the framework runs it, and reads the stream, on its own worker threads.
@app.get("/answer")
def answer(prompt: str) -> StreamingResponse:
    try:
        stream = client.stream({"messages": [{"role": "user", "content": prompt}]})
    except elkapi.Error as error:
        raise fastapi.HTTPException(error.status or 502, str(error)) from error

    def texts() -> Iterator[str]:
        # A browser that goes away closes this generator, and with it the stream.
        with stream:
            try:
                yield from stream.text_stream
            except elkapi.Error as error:
                yield f"\n[{error}]"

    return StreamingResponse(texts(), media_type="text/plain; charset=utf-8")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
