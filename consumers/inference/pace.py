"""How long a forward pass takes, as `a + b * tokens`, learned while they run."""

_MEMORY = 0.98  # of what was learned, kept at each new pass: some fifty count
_FAR_OFF = 3.0  # a pass that takes so many times what is expected is counted as taking that: the machine was busy
_FEWEST_TOKENS = 1_024
_OVERHEAD = 0.1  # of the time that its tokens take, in a batch that is large enough


class Pace:
    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def learn(self, tokens: int, seconds: float) -> None:
        if self._n:
            seconds = min(seconds, _FAR_OFF * self.expected_s(tokens))
        sums = (self._n, self._x, self._y, self._xx, self._xy)
        new = (1.0, tokens, seconds, tokens * tokens, tokens * seconds)
        self._n, self._x, self._y, self._xx, self._xy = (
            _MEMORY * old + add for old, add in zip(sums, new, strict=True)
        )

    def expected_s(self, tokens: int) -> float:
        """0 when nothing is known."""
        a, b = self.line
        return a + b * tokens

    @property
    def line(self) -> tuple[float, float]:
        """Seconds of a pass, and of a token. Neither is negative."""
        if not self._n:
            return 0.0, 0.0
        spread = self._n * self._xx - self._x**2
        b = (self._n * self._xy - self._x * self._y) / spread if spread > 1e-6 * self._x**2 else 0.0
        a = (self._y - b * self._x) / self._n
        if a < 0 or b <= 0:  # what batches of one size tell, or noise
            return 0.0, self._xy / self._xx
        return a, b

    def enough_tokens(self, most: int) -> int:
        """In a batch, so that more of them would hardly raise the throughput and only make it answer later."""
        a, b = self.line
        return min(most, max(_FEWEST_TOKENS, int(a / (b * _OVERHEAD)) if b else 0))
