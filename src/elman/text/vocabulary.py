"""The entries a tokenizer knows, each with its number."""

from collections.abc import Iterable, Mapping

PADDING = "<pad>"
UNKNOWN = "<unk>"
PADDING_ID = 0
UNKNOWN_ID = 1


class Vocabulary:
    """An ordered list of tokens; 0 is padding, 1 stands for every token not in the list.

    Elman's batches are ragged and never hold padding: the entry is there so that token ids mean the
    same in code that pads.
    """

    def __init__(self, tokens: Iterable[str]):
        """Store ``tokens`` in order; the two special entries must come first.

        Raises:
            ValueError: when the special entries are missing or a token stands twice.
        """
        self.tokens = tuple(tokens)
        self.ids: dict[str, int] = {token: i for i, token in enumerate(self.tokens)}
        if self.tokens[:2] != (PADDING, UNKNOWN):
            raise ValueError(f"a vocabulary begins with {PADDING} and {UNKNOWN}")
        if len(self.ids) != len(self.tokens):
            raise ValueError("a token stands twice in the vocabulary")

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, min_count: int = 1, max_size: int | None = None
    ) -> "Vocabulary":
        """Keep tokens counted at least ``min_count`` times, the most frequent first.

        Equal counts are ordered by the token itself, so the same data always give the same ids.
        ``max_size`` bounds the whole vocabulary, special entries included.
        """
        kept = [t for t, n in counts.items() if n >= min_count and t not in (PADDING, UNKNOWN)]
        kept.sort(key=lambda token: (-counts[token], token))
        limit = None if max_size is None else max(max_size - 2, 0)
        return cls([PADDING, UNKNOWN, *kept[:limit]])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.ids

    def __getitem__(self, token: str) -> int:
        return self.ids.get(token, UNKNOWN_ID)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries)"
