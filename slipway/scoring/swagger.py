"""`/swagger.json`: the user's own description of the service, else a generated one.

A user's `swagger.json` or `swagger2.json` (version 2) and `swagger3.json` (version 3) in the application's
folder win. A generated one is Azure ML's word for word, since clients are generated from it. With
`@input_schema` the samples come from there; without, input and output are any object.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Dict, Optional, Tuple

from slipway.scoring.config import Config
from slipway.scoring.response import JSON, Response, error
from slipway.scoring.script import ScriptError

ALIASES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}

Document = Dict[str, Any]

HEALTH = "Simple health check endpoint to ensure the service is up at any given point."
HEALTHY = "If service is up and running, this response will be returned with the content 'Healthy'"
SCORE = "Run web service's model and get the prediction output"
PAYLOAD = "The input payload for executing the real-time machine learning service."
SCORED = "The service processed the input correctly and provided a result prediction, if applicable."
DOCUMENT = "Get the Swagger specification."
SPECIFICATION = "The Swagger specification."
FAILED = "The service failed to execute due to an error."
BEARER: Document = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "For example: Bearer abc123",
}


class Swagger:
    """The documents of one service, made once, because the files and the script do not change.

    Raises `ScriptError` if one of the user's is no JSON.
    """

    def __init__(self, config: Config, run: Callable[..., Any]) -> None:
        self._documents: Dict[str, bytes] = {}
        for version, names in (
            ("2", ("swagger.json", "swagger2.json")),
            ("3", ("swagger3.json",)),
            ("3.1", ()),
        ):
            document = _own(config, names) or _generated(config, run, version)
            if document is not None:
                self._documents[version] = json.dumps(document).encode()

    def response(self, version: str) -> Response:
        """Answer with the document of `version`, or 404 with the versions that there are."""
        supported = ", ".join(sorted(self._documents))
        if version not in ALIASES:
            return error(404, f"Swagger version [{version}] is not valid. Supported versions: [{supported}].")
        document = self._documents.get(ALIASES[version])
        if document is None:
            text = "is not supported for the scoring script. Supported swagger versions:"
            return error(404, f"Swagger version [{version}] {text} [{supported}].")
        return Response(200, JSON, document)


def _own(config: Config, names: Tuple[str, ...]) -> Optional[Document]:
    for name in names:
        path = config.app_root / name
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as problem:
                raise ScriptError(f"{path} is no JSON: {problem}") from None
    return None


def _generated(config: Config, run: Callable[..., Any], version: str) -> Optional[Document]:
    anything: Document = {"type": "object", "example": {}}
    taken = given = anything
    schema = sys.modules.get("inference_schema.schema_util")
    if schema is not None and schema.is_schema_decorated(run):
        if not {version, f"{version}.0"}.intersection(schema.get_supported_versions(run)):
            return None
        taken, given = schema.get_input_schema(run), schema.get_output_schema(run)
    schemas: Document = {
        "ServiceInput": taken,
        "ServiceOutput": given,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    return _version2(config, schemas) if version == "2" else _version3(config, schemas, version)


def _info(config: Config) -> Document:
    name = config.service_name
    description = f"API specification for the Azure Machine Learning service {name}"
    return {"title": name, "description": description, "version": config.service_version}


def _paths(config: Config, operations: Tuple[Document, Document, Document]) -> Document:
    prefix = config.service_path_prefix.strip("/")
    prefix = f"/{prefix}" if prefix else ""
    health, score, document = operations
    return {
        f"{prefix}/": {"get": {"operationId": "ServiceHealthCheck", "description": HEALTH, **health}},
        f"{prefix}/score": {
            "post": {
                "operationId": "RunMLService",
                "description": SCORE,
                "security": [{"Bearer": []}],
                **score,
            }
        },
        f"{prefix}/swagger.json": {
            "get": {"operationId": "GetSwaggerSpec", "description": DOCUMENT, **document}
        },
    }


def _responses(success: Document, failure: Document) -> Document:
    return {"responses": {"200": success, "default": {"description": FAILED, **failure}}}


def _version2(config: Config, schemas: Document) -> Document:
    def answers(description: str, schema: Document, **more: Any) -> Document:
        failed = {"schema": {"$ref": "#/definitions/ErrorResponse"}}
        return _responses({"description": description, "schema": schema, **more}, failed)

    text = {"type": "string"}
    body = {
        "name": "serviceInputPayload",
        "in": "body",
        "description": PAYLOAD,
        "schema": {"$ref": "#/definitions/ServiceInput"},
    }
    version = {"name": "version", "in": "query", "required": False, "type": "integer", "enum": [2, 3]}
    operations = (
        answers(HEALTHY, text, examples={"application/json": "Healthy"}),
        {"parameters": [body], **answers(SCORED, {"$ref": "#/definitions/ServiceOutput"})},
        {"parameters": [version], **answers(SPECIFICATION, text)},
    )
    return {
        "swagger": "2.0",
        "info": _info(config),
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": BEARER},
        "paths": _paths(config, operations),
        "definitions": schemas,
    }


def _version3(config: Config, schemas: Document, version: str) -> Document:
    def content(schema: Document, kind: str = "application/json") -> Document:
        return {"content": {kind: {"schema": schema}}}

    def answers(description: str, body: Document) -> Document:
        failed = content({"$ref": "#/components/schemas/ErrorResponse"})
        return _responses({"description": description, **body}, failed)

    which = {
        "name": "version",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "enum": [2, 3]},
    }
    payload = {"description": PAYLOAD, **content({"$ref": "#/components/schemas/ServiceInput"})}
    operations = (
        answers(HEALTHY, content({"type": "string", "example": "Healthy"}, "text/plain")),
        {
            "requestBody": payload,
            **answers(SCORED, content({"$ref": "#/components/schemas/ServiceOutput"})),
        },
        {"parameters": [which], **answers(SPECIFICATION, content({"type": "string"}, "text/plain"))},
    )
    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": _info(config),
        "security": [{"Bearer": []}],
        "paths": _paths(config, operations),
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": BEARER}},
    }
