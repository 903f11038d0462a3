"""Entry scripts that both servers run; the request says what `run()` is to do."""

PLAIN = """
import json, time
from azureml_inference_server_http.api.aml_response import AMLResponse

HEADERS = ("Host", "Content-Type", "X-Custom", "X-Two", "X-Ms-Request-Id", "X-Request-Id", "Content-Length")
deep = []
deep.append(deep)

def init():
    global begun
    begun = True

def run(data, request_headers):
    try:
        asked = json.loads(data)
    except ValueError:
        asked = data
    what = asked.get("return") if isinstance(asked, dict) else "echo"
    if what == "raise":
        raise {"value": ValueError, "key": KeyError, "runtime": RuntimeError}[asked["error"]]("as asked")
    if what == "sleep":
        time.sleep(asked["seconds"])
    if what == "exit":
        raise SystemExit(1)
    if what == "value":
        return asked["value"]
    if what == "response":
        response = AMLResponse(asked["message"], asked["status"], asked["headers"], json_str=asked["json"])
        return response
    if what == "bytes":
        return AMLResponse(bytes(asked["bytes"]), 200, {"Content-Type": "image/png"})
    if what == "failed":
        return AMLResponse("failed", asked["status"], run_function_failed=True)
    if what in UNFIT:
        return UNFIT[what]
    if what == "text":
        return "x" * asked["size"]
    headers = {name: request_headers[name] for name in HEADERS if name in request_headers and name != "Host"}
    return {"data": data, "headers": headers, "begun": begun}

UNFIT = {"unfit-bytes": b"bytes", "unfit-set": {1}, "unfit-object": object(), "unfit-deep": deep}
"""

RAW = """
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    what = request.args.get("do", "describe")
    if what == "reverse":
        return AMLResponse(request.get_data()[::-1], 200, {"Content-Type": "application/octet-stream"})
    if what == "status":
        return AMLResponse(request.get_data(as_text=True), int(request.args["status"]))
    if what == "json":
        return {"json": request.get_json(), "again": request.json}
    if what == "force":
        return {"json": request.get_json(force=True)}
    if what == "silent":
        return {"json": request.get_json(silent=True)}
    if what == "missing":
        return {"value": request.headers["X-Missing"]}
    if what == "form":
        return {
            "form": request.form.to_dict(flat=False),
            "first": dict(request.form),
            "values": request.values.to_dict(flat=False),
        }
    if what == "files":
        return {
            "fields": request.form.to_dict(flat=False),
            "files": [
                [name, file.filename, file.content_type, file.mimetype, file.read().hex()]
                for name in request.files for file in request.files.getlist(name)
            ],
        }
    if what == "image":
        file = request.files["image"]
        return AMLResponse(file.stream.read(), 200, {"Content-Type": file.mimetype, "X-Name": file.filename})
    if what == "parts":
        boundary = "b" * 20
        parts = [b"--" + boundary.encode() + b"\\r\\n\\r\\n" + bytes([n]) * 5 + b"\\r\\n" for n in range(3)]
        kind = f"multipart/mixed; boundary={boundary}"
        return AMLResponse(b"".join(parts) + b"--" + boundary.encode() + b"--", 200, {"Content-Type": kind})
    if what == "iterable":
        return AMLResponse([b"a", b"\\xff", "\\u00e4"], 200)
    return {
        "method": request.method,
        "path": request.path,
        "full_path": request.full_path,
        "query": request.query_string.decode("latin-1"),
        "args": request.args.to_dict(flat=False),
        "content_type": request.content_type,
        "mimetype": request.mimetype,
        "is_json": request.is_json,
        "custom": request.headers.get("X-Custom"),
        "text": request.get_data(as_text=True),
        "same_host": request.host == request.headers["Host"],
        "url": request.url.partition("/score")[2],
        "base_url": request.base_url.partition("/score")[1:],
    }
"""

SCHEMA = """
import datetime
import numpy as np, pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

array = NumpyParameterType(np.array([[1.0, 2.0]]))
frame = PandasParameterType(pd.DataFrame({"a": [1], "b": ["x"]}))
nested = StandardPythonParameterType({
    "rows": StandardPythonParameterType([StandardPythonParameterType(1.5)]),
    "array": NumpyParameterType(np.array([1, 2])),
    "name": StandardPythonParameterType("n"),
})

def init():
    pass

@input_schema("array", array)
@input_schema("frame", frame)
@input_schema("nested", nested)
@input_schema("when", StandardPythonParameterType(datetime.datetime(2020, 1, 2, 3, 4, 5)), optional=True)
@input_schema("raw", PandasParameterType(pd.DataFrame({"c": [1]})), convert_to_provided_type=False)
@output_schema(StandardPythonParameterType({"sum": 1.0}))
def run(array, frame, nested, when=None, raw=None):
    if when == "fail":
        raise ValueError("as asked")
    return {
        "sum": float(array.sum()),
        "types": [type(value).__name__ for value in (array, frame, nested, when, raw)],
        "frame": frame.to_dict("records"),
        "nested": {name: type(value).__name__ for name, value in nested.items()},
        "when": str(when),
    }
"""

PARAMETERS = """
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
import pandas as pd

data = PandasParameterType(pd.DataFrame({"f": [1.0]}), enforce_shape=False)
inputs = StandardPythonParameterType({"data": data})
parameters = StandardPythonParameterType(1.0)

def init():
    pass

@input_schema("GlobalParameters", parameters, convert_to_provided_type=False)
@input_schema("Inputs", inputs)
@output_schema(StandardPythonParameterType({"Results": [1, "mixed"]}))
def run(Inputs, GlobalParameters=1.0, request_headers=None):
    custom = (request_headers or {}).get("X-Custom")
    return {"Results": Inputs["data"].to_dict("records"), "parameter": GlobalParameters, "custom": custom}
"""

ASYNC = """
async def init():
    pass

async def run(data):
    return {"data": data}
"""
