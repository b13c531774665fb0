"""Exchanges with a stand-in for Stripe, held against Stripe's own words.

    described.py EXCHANGES DESCRIPTION

EXCHANGES is a list of {method, path, fields, status, answer}. Each request must be one that
Stripe's published OpenAPI document describes: its path, each of its fields with a value of
the field's kind, every field that must be there. Each answer must be of the document's
schema. The document is older than today's API; so the fields are held against the types of
Stripe's current SDK, too. Exits with 1 and says what is wrong.
"""

import json
import re
import sys

import stripe
from stripe import params

exchanges = json.load(open(sys.argv[1], encoding="utf-8"))
document = json.load(open(sys.argv[2], encoding="utf-8"))
faults = []
checked = {}

# The requests' types in the SDK, and the answers', by operation.
SDK = {
    "POST /v1/payment_intents": (params.PaymentIntentCreateParams, stripe.PaymentIntent),
    "GET /v1/payment_intents/search": (params.PaymentIntentSearchParams, stripe.PaymentIntent),
    "GET /v1/payment_intents/{intent}": (params.PaymentIntentRetrieveParams, stripe.PaymentIntent),
    "POST /v1/payment_intents/{intent}/confirm": (params.PaymentIntentConfirmParams, stripe.PaymentIntent),
    "POST /v1/payment_intents/{intent}/cancel": (params.PaymentIntentCancelParams, stripe.PaymentIntent),
    "POST /v1/refunds": (params.RefundCreateParams, stripe.Refund),
    "GET /v1/refunds": (params.RefundListParams, stripe.Refund),
    "POST /v1/transfers": (params.TransferCreateParams, stripe.Transfer),
    "GET /v1/transfers": (params.TransferListParams, stripe.Transfer),
    "GET /v1/disputes/{dispute}": (params.DisputeRetrieveParams, stripe.Dispute),
}
# Asked for in the version of the API that is spoken (`Stripe-Version`), and called
# `allowed_payment_method_types` since.
OF_BEFORE = {"payment_method_types"}
# What our code reads of each answer.
READ = {
    "payment_intent": ["id", "amount", "currency", "status", "metadata", "last_payment_error", "next_action",
                       "latest_charge"],
    "charge": ["balance_transaction"],
    "balance_transaction": ["fee", "currency"],
    "refund": ["id", "amount", "currency", "status", "failure_reason", "metadata"],
    "transfer": ["id", "amount", "amount_reversed", "currency", "metadata"],
    "dispute": ["id", "amount", "currency", "status", "reason", "payment_intent"],
}


def deref(schema):
    while "$ref" in schema:
        node = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    return schema


def problem(value, schema, at, written=False):
    """What is wrong with a value; `written`: it came as text, in a form or a query."""
    schema = deref(schema)
    if value is None:
        return None if schema.get("nullable") or not schema.get("type") else f"{at} is null"
    if "anyOf" in schema:
        found = [problem(value, one, at, written) for one in schema["anyOf"]]
        return None if None in found else found[0]
    kind = schema.get("type")
    if written and kind in ("integer", "number", "boolean") and isinstance(value, str):
        if kind == "integer" and re.fullmatch(r"-?\d+", value):
            value = int(value)
        elif kind == "boolean" and value in ("true", "false"):
            value = value == "true"
        else:
            return f"{at} is {value!r}, not a written {kind}"
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    if kind and (not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool))):
        return f"{at} is {value!r}, not of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is {value!r}, none of {schema['enum']}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        return f"{at} is too long"
    if isinstance(value, list):
        parts = (problem(one, schema.get("items", {}), f"{at}[]", written) for one in value)
        return next(filter(None, parts), None)
    if isinstance(value, dict):
        return object_problem(value, schema, at, written)
    return None


def object_problem(value, schema, at, written):
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f"{at}.{name} is missing"
    for name, one in value.items():
        inner = properties.get(name, schema.get("additionalProperties", written))
        if inner is False or (written and inner is True):
            return f"{at}.{name} is not described"
        if name not in properties and properties and not isinstance(inner, dict) and at.startswith("answer"):
            return f"{at}.{name} is not described"
        found = problem(one, inner, f"{at}.{name}", written) if isinstance(inner, dict) else None
        if found:
            return found
    return None


def nested(fields):
    """Fields as a form writes them: a[b]=c and a[]=c."""
    whole = {}
    for name, value in fields:
        if name.endswith("[]"):
            whole.setdefault(name[:-2], []).append(value)
        elif match := re.fullmatch(r"(\w+)\[(\w+)\]", name):
            whole.setdefault(match[1], {})[match[2]] = value
        else:
            whole[name] = value
    return whole


def operation_of(method, path):
    exact = document["paths"].get(path, {}).get(method.lower())
    if exact:
        return path, exact
    for pattern, item in document["paths"].items():
        if method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            return pattern, item[method.lower()]
    return None, None


def request_problem(operation, method, fields):
    if method == "POST":
        form = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        return problem(nested(fields), form, "request", written=True)
    known = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
    given = nested(fields)
    for name, one in known.items():
        if one.get("required") and name not in given:
            return f"request.{name} is missing"
    for name, value in given.items():
        if name not in known:
            return f"request.{name} is not described"
        found = problem(value, known[name]["schema"], f"request.{name}", written=True)
        if found:
            return found
    return None


def fields_of(cls):
    """All that is annotated on a class of the SDK and on what it stands on."""
    return {name for one in cls.__mro__ for name in getattr(one, "__annotations__", {})}


def sdk_problem(name, fields, answer):
    request, object_ = SDK[name]
    known = set(request.__annotations__) | OF_BEFORE
    for given in nested(fields):
        if given not in known:
            return f"the SDK's {request.__name__} has no {given}"
    for read in READ[object_.OBJECT_NAME]:
        if read not in fields_of(object_):
            return f"the SDK's {object_.__name__} has no {read}"
    return None


for one in exchanges:
    pattern, operation = operation_of(one["method"], one["path"])
    name = f"{one['method']} {pattern}"
    if operation is None or name not in SDK:
        faults.append(f"{one['method']} {one['path']} is not described")
        continue
    answered = operation["responses"].get(str(one["status"]), operation["responses"]["default"])
    schema = answered["content"]["application/json"]["schema"]
    # What the stand-in lost or broke off is no answer of Stripe's.
    found = None if one["status"] >= 500 else problem(one["answer"], schema, "answer")
    found = found or request_problem(operation, one["method"], one["fields"])
    found = found or sdk_problem(name, one["fields"], one["answer"])
    if found:
        faults.append(f"{name} ({one['status']}): {found}")
    checked[name] = checked.get(name, 0) + 1

for name in SDK.keys() - checked.keys():
    faults.append(f"{name} was never asked")
for name, reads in READ.items():
    described = document["components"]["schemas"][name]["properties"]
    faults.extend(f"{name}.{read} is not described" for read in reads if read not in described)
for cls in (stripe.Charge, stripe.BalanceTransaction):
    missing = [read for read in READ[cls.OBJECT_NAME] if read not in fields_of(cls)]
    faults.extend(f"the SDK's {cls.__name__} has no {read}" for read in missing)

for fault in sorted(set(faults)):
    print(fault)
for name, count in sorted(checked.items()):
    print(f"{count:4} {name}")
sys.exit(1 if faults else 0)
