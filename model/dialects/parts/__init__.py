"""Building blocks of dialects: coordinates, action tables, syntaxes, history layouts and grammars."""
