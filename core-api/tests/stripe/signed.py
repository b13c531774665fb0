"""Stripe's own SDK believes a signature, or does not: signed.py SECRET HEADER < body.

Prints the id of the event, or the name of what was wrong.
"""

import sys

import stripe

secret, header = sys.argv[1:]
body = sys.stdin.buffer.read()
try:
    event = stripe.Webhook.construct_event(body, header, secret)
    print(event["id"])
except stripe.SignatureVerificationError as error:
    print(type(error).__name__)
