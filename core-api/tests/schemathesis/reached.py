"""Says how many operations answered each actor with a 2xx, and fails below the share that
is asked for.

    reached.py SHARE RESULTS...
"""

import json
import sys

share, files = float(sys.argv[1]), sys.argv[2:]
below = False
for name in files:
    with open(name) as file:
        result = json.load(file)
    operations = result["operations"]
    missed = {
        operation: answers
        for operation, answers in operations.items()
        if not any(status.startswith("2") for status in answers)
    }
    reached = len(operations) - len(missed)
    requests = sum(sum(answers.values()) for answers in operations.values())
    print(f"{result['actor']}: a 2xx on {reached} of {len(operations)} operations, {requests} requests")
    for operation, answers in missed.items():
        print(f"    none on {operation}: {answers or 'not called'}")
    below |= reached < share * len(operations)
sys.exit(below)
