"""Vocabulary, chat template and configuration files of the embedded checkpoint.

The vocabulary holds bytes, the special tokens of Qwen2.5, and the fixed parts of a tool call, so that a click takes 14
tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from model.nn.config import Config

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CALL_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    '\n{"name": "computer_use", "arguments": {"action": "',
    '", "coordinate": [',
    '", "text": "',
    '", "keys": ["',
    '], "pixels": ',
    '", "status": "',
    '", "time": ',
    "]}}\n",
    '"}}\n',
    '"]}}\n',
    "}}\n",
    ", ",
    "computer_use",
    "left_click_drag",
    "left_click",
    "right_click",
    "middle_click",
    "double_click",
    "mouse_move",
    "scroll",
    "terminate",
    "system\n",
    "user\n",
    "assistant\n",
)
PHRASE_TOKENS = (  # common phrases of instructions; text that must be read letter by letter stays bytes
    'Click on the "',
    'Click on the link "',
    'Click on the word "',
    "Click on the ",
    "Click on a ",
    "Click on ",
    "Click the ",
    'Click "',
    "Click ",
    'Choose "',
    "Choose ",
    "Select ",
    "Press ",
    "Tick ",
    "Open the ",
    'Point at "',
    "Point at the title ",
    "Switch to the ",
    "Focus into the ",
    "Close the ",
    "Switch between the tabs to find and click on the link ",
    'Enter the password "',
    'Enter the username "',
    'Enter an item that starts with "',
    'Enter "',
    "Enter ",
    "Book the ",
    "What does it say at [",
    "How many ",
    " are there?",
    "]?",
    '" button.',
    '" field.',
    '" into the text field and press Submit.',
    '" into both text fields and press submit.',
    '" and the password "',
    '" into the text fields and press login.',
    '" and ends with "',
    " as the date and hit submit.",
    " and click Submit.",
    " one-way flight from: ",
    " dialog box ",
    " input textbox.",
    " textbox.",
    " text field.",
    " colored box.",
    " widget.",
    " icon.",
    " symbol.",
    " labeled ",
    " by clicking ",
    " to: ",
    " on ",
    "Read the line at [",
    "].",
    "What does it say?",
)
VOCAB_SIZE = 384  # rows of the embedding, more than there are tokens

# The model knows its one function, so the template lists the names of the tools without their descriptions. Images come
# before the text of their turn, so that one encoding serves many questions.
CHAT_TEMPLATE = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ (tool.function or tool).name }}{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}{% if message.role != 'system' %}<|im_start|>{{ message.role }}
{% for part in message.content %}{% if part.type == 'image' %}\
<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}
{%- for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def build() -> Tokenizer:
    """Return the tokenizer; the order of the tables above determines the token ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: n for n, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens(
        [AddedToken(token, special=False, normalized=False) for token in (*CALL_TOKENS, *PHRASE_TOKENS)]
    )
    assert tokenizer.get_vocab_size() <= VOCAB_SIZE
    return tokenizer


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the ids of the special tokens by name."""
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    return {token: token_id for token, token_id in ids.items() if token_id is not None}


def write(
    folder: Path,
    config: Config,
    min_pixels: int,
    max_pixels: int,
    max_new_tokens: int,
    history_steps: int = 0,
    pictures: int = 0,
    reads_strips: bool = False,
) -> None:
    """Write every file of a checkpoint folder except its weights; the model is one that answers no free questions.

    Args:
        folder: The checkpoint folder.
        config: Sizes of the model.
        min_pixels: Image size below which the processor enlarges an image.
        max_pixels: Image size above which the processor shrinks an image.
        max_new_tokens: Longest reply.
        history_steps: Number of earlier steps in a prompt.
        pictures: Number of earlier steps that keep their screenshot.
        reads_strips: Whether the model was trained to read strips of text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build()
    special = special_token_ids(tokenizer)
    text, vision = config.text, config.vision
    files = {
        "config.json": {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "head_dim": text.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_theta,
            "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
            "max_position_embeddings": text.max_position_embeddings,
            "tie_word_embeddings": text.tie_word_embeddings,
            "use_sliding_window": False,
            "torch_dtype": "float16",
            "bos_token_id": special["<|endoftext|>"],
            "eos_token_id": special["<|im_end|>"],
            "image_token_id": special["<|image_pad|>"],
            "video_token_id": special["<|video_pad|>"],
            "vision_start_token_id": special["<|vision_start|>"],
            "vision_end_token_id": special["<|vision_end|>"],
            "vision_config": {
                "model_type": "qwen2_5_vl",
                "depth": vision.depth,
                "hidden_size": vision.hidden_size,
                "intermediate_size": vision.intermediate_size,
                "num_heads": vision.num_heads,
                "out_hidden_size": vision.out_hidden_size,
                "hidden_act": "silu",
                "in_channels": 3,
                "patch_size": 14,
                "temporal_patch_size": 2,
                "spatial_merge_size": 2,
                "window_size": 112,
                "fullatt_block_indexes": list(vision.fullatt_block_indexes),
                "tokens_per_second": 2,
            },
        },
        "generation_config.json": {
            "do_sample": False,
            "eos_token_id": [special["<|im_end|>"], special["<|endoftext|>"]],
            "pad_token_id": special["<|endoftext|>"],
        },
        "preprocessor_config.json": {
            "image_processor_type": "Qwen2VLImageProcessor",
            "min_pixels": min_pixels,
            "max_pixels": max_pixels,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": text.max_position_embeddings,
        },
        "pixelhand.json": {
            "dialect": "qwen25",
            "tool": "computer_use",
            "history": "turns",
            "history_steps": history_steps,
            "pictures": pictures,
            "max_new_tokens": max_new_tokens,
            "answers_questions": False,
            "reads_strips": reads_strips,
        },
    }
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
