"""Text to ids and back, and chats to text, as transformers' fast tokenizers do it."""
