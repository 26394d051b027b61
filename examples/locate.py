"""Ask a model where an element is on a screenshot.

python examples/locate.py 'http://localhost:8000/v1?dialect=qwen25' screenshot.png "the Save button"
"""

import sys

import pixelhand as ph

model, path, description = sys.argv[1:4]
policy = ph.load_policy(model)
print(policy.locate(description, ph.Screen.open(path)))
policy.close()
