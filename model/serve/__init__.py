"""An OpenAI-compatible server over model.chat: requests in JSON, replies in JSON or as a stream. Knows no machine."""
