"""Text to token ids and back: by character, by word, or by pieces of words.

A tokenizer is made from the training part alone (``fit``) and is saved as JSON with the model.
All kinds return an ``Encoded``: all ids in one flat array, row after row, and each row's length.
Those for text that a model writes, whose ids turn back into the text, are in ``reversible``.
"""

from elman.text.tokenizer.character import CharacterTokenizer as CharacterTokenizer
from elman.text.tokenizer.choice import choose_level as choose_level
from elman.text.tokenizer.choice import fit_tokenizer as fit_tokenizer
from elman.text.tokenizer.choice import load_tokenizer as load_tokenizer
from elman.text.tokenizer.coded import CodedTokenizer as CodedTokenizer
from elman.text.tokenizer.protocol import MAX_LENGTH as MAX_LENGTH
from elman.text.tokenizer.protocol import NAMES as NAMES
from elman.text.tokenizer.protocol import SUBWORDS as SUBWORDS
from elman.text.tokenizer.protocol import Encoded as Encoded
from elman.text.tokenizer.protocol import Level as Level
from elman.text.tokenizer.protocol import Tokenizer as Tokenizer
from elman.text.tokenizer.splitting import words as words
from elman.text.tokenizer.subword import MAX_SUBWORDS as MAX_SUBWORDS
from elman.text.tokenizer.subword import BpeTokenizer as BpeTokenizer
from elman.text.tokenizer.subword import UnigramTokenizer as UnigramTokenizer
from elman.text.tokenizer.word import WordTokenizer as WordTokenizer
