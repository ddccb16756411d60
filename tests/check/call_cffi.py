"""One call through cffi. Usage: call_cffi.py HEADER LIBRARY"""

import sys
from pathlib import Path

from cffi import FFI

ffi = FFI()
ffi.cdef(Path(sys.argv[1]).read_text())
elk = ffi.dlopen(sys.argv[2])

client = ffi.gc(elk.elk_client_new(ffi.NULL, 0), elk.elk_client_free)
request = b'{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}'
answer = ffi.gc(elk.elk_chat_completions(client, request, len(request), ffi.NULL), elk.elk_result_free)
assert elk.elk_result_status(answer) == elk.ELK_OK, ffi.string(elk.elk_result_message(answer))

length = ffi.new("size_t *")
text = ffi.buffer(elk.elk_result_text(answer, length), length[0])[:].decode()
refused = ffi.gc(elk.elk_get(client, b"/nowhere", ffi.NULL), elk.elk_result_free)
assert elk.elk_result_status(refused) == elk.ELK_E_NOT_FOUND
name = ffi.string(elk.elk_status_name(elk.ELK_E_NOT_FOUND)).decode()
print(
    f"elkapi {ffi.string(elk.elk_version()).decode()}: {text}, status {elk.elk_result_status(answer)};"
    f" {name} {elk.ELK_E_NOT_FOUND}"
)
