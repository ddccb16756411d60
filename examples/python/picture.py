"""Ask for a picture and save it, as cat.png or under the name given. The key comes from ELKAPI_API_KEY."""

import sys

import elkapi

PATH = sys.argv[1] if len(sys.argv) > 1 else "cat.png"
WANTED = elkapi.ImageOptions(aspect_ratio="16:9", image_size="2K")

try:
    # A picture takes its time: up to five minutes here.
    with elkapi.Client(timeout=300) as client:
        answer = client.ask("A cat on a windowsill", model="gemini-3-pro-image-preview", image=WANTED)
    if not answer.images:
        sys.exit(f"There is no picture in the answer ({answer.verdict}): {answer.text}")
    # Of several pictures the last is the final one.
    answer.images[-1].save(PATH)
except elkapi.Error as error:
    sys.exit(f"{error.kind}: {error}")

print(f"{PATH}: {answer.images[-1]}")
