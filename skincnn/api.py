"""What the service's addresses take and give, as OpenAPI describes it."""

_TEXT = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_ERROR = {
    "type": "object",
    "properties": {"error": _TEXT | {"description": "What is wrong, in a sentence."}},
    "required": ["error"],
}
_PREDICTION = {
    "type": "object",
    "description": "What is said of one photograph, or `error`: why nothing can be.",
    "properties": {
        "answer": _TEXT | {"description": "benign, malignant, not sure, not a lesion, or a class"},
        "sentence": _TEXT | {"description": "The answer in words."},
        "label": _TEXT | {"description": "The most probable class."},
        "confidence": _SHARE | {"description": "Its probability, calibrated."},
        "malignant": {"type": ["number", "null"], "description": "Probability of malignancy."},
        "interval": {
            "type": ["array", "null"],
            "items": _SHARE,
            "description": "Its 95 % interval (Venn-Abers, see calibrate.interval).",
        },
        "strangeness": {"type": ["number", "null"]},
        "probabilities": {"type": "object", "additionalProperties": _SHARE},
        "notice": _TEXT,
        "error": _TEXT,
    },
}
_PREDICTIONS = {
    "type": "object",
    "properties": {"predictions": {"type": "array", "items": _PREDICTION}},
    "required": ["predictions"],
}
_OUTPUTS = {
    "type": "object",
    "description": "The answer to `inputs`: a list each, of one item a photograph.",
    "properties": {
        "outputs": {
            "type": "object",
            "properties": {
                name: {"type": "array", "items": {"anyOf": [one, {"type": "null"}]}}
                for name, one in _PREDICTION["properties"].items()
            },
            "required": ["error"],
        }
    },
    "required": ["outputs"],
}
_PHOTOGRAPHS = {
    "type": "object",
    "properties": {
        "model": _TEXT,
        "notice": _TEXT,
        "photographs": {"type": "array", "items": _PREDICTION},
    },
    "required": ["model", "notice", "photographs"],
}
_B64 = {
    "type": "object",
    "properties": {"b64": _TEXT | {"description": "A photograph's file in base64."}},
    "required": ["b64"],
    "additionalProperties": False,
}
_COLUMN = {"type": "array", "items": _B64, "minItems": 1, "maxItems": 16}
_INSTANCES = {
    "type": "object",
    "description": "By rows: the answer is `predictions`.",
    "properties": {"instances": _COLUMN},
    "required": ["instances"],
}
_INPUTS = {
    "type": "object",
    "description": "By columns: the answer is `outputs`. The column may be named, or stand alone.",
    "properties": {
        "inputs": {
            "oneOf": [
                _COLUMN,
                {
                    "type": "object",
                    "additionalProperties": _COLUMN,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ]
        }
    },
    "required": ["inputs"],
}
_FILE = _TEXT | {"format": "binary"}
_FILES = {
    "type": "object",
    "properties": {"photographs": {"type": "array", "items": _FILE, "minItems": 1, "maxItems": 16}},
    "required": ["photographs"],
}
_ONE_FILE = {
    "type": "object",
    "properties": {
        "photograph": _FILE,
        "label": _TEXT | {"description": "The class asked about; else the most probable one."},
    },
    "required": ["photograph"],
}
_PNG = {"image/png": {"schema": _FILE}}
_PLAIN = {"text/plain": {"schema": _TEXT}}
_ANY = {"type": "object"}
_REASONS = {
    "400": "Damaged, or of another form.",
    "401": "A key is wanted.",
    "403": "Asked by another site's page.",
    "413": "Too large, or too many photographs.",
    "415": "Of another type.",
    "422": "None of the photographs can be used.",
    "503": "Too much at a time: try again after Retry-After seconds.",
}
# endpoint: group, summary, content of the request, content of the answer
_ENDPOINTS = {
    "health": ("operation", "Whether the service answers.", None, _ANY),
    "metrics": ("operation", "Counts and times, for Prometheus.", None, _PLAIN),
    "model": ("page", "What is known of the model.", None, _ANY),
    "classify": (
        "page",
        "Classify the photographs of a form.",
        {"multipart/form-data": {"schema": _FILES}},
        _PHOTOGRAPHS,
    ),
    "occlusion": (
        "page",
        "A PNG of a photograph, coloured by how much each place matters to the answer.",
        {"multipart/form-data": {"schema": _ONE_FILE}},
        _PNG,
    ),
    "status": ("TensorFlow Serving", "Whether the model is there.", None, _ANY),
    "metadata": ("TensorFlow Serving", "What is known of the model.", None, _ANY),
    "predict": (
        "TensorFlow Serving",
        "Classify photographs in base64, by rows (`instances`) or by columns (`inputs`), not both.",
        {"application/json": {"schema": {"oneOf": [_INSTANCES, _INPUTS]}}},
        {"oneOf": [_PREDICTIONS, _OUTPUTS]},
    ),
}


def described(endpoint) -> dict:
    """Arguments of FastAPI's `add_api_route` that describe a function of the service."""
    group, summary, takes, gives = _ENDPOINTS[endpoint.__name__]
    content = gives if gives in (_PNG, _PLAIN) else {"application/json": {"schema": gives}}
    error = {"application/json": {"schema": _ERROR}}
    reasons = _REASONS if takes else {code: _REASONS[code] for code in ("401", "503")}
    responses = {"200": {"description": "The answer.", "content": content}}
    responses |= {code: {"description": text, "content": error} for code, text in reasons.items()}
    extra = {"responses": responses}
    if takes:
        extra["requestBody"] = {"required": True, "content": takes}
    return {"tags": [group], "summary": summary, "openapi_extra": extra, "response_model": None}
