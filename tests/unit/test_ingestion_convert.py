"""Uploaded files become tables: what is common to all formats, and how delimited text is read."""

import csv
import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ingestion.conversion import Converted, Hints, Limits, Unreadable
from consumers.ingestion.convert import convert
from consumers.ingestion.encodings import LONGEST_LINE, scan
from consumers.ingestion.forms import MISSING
from consumers.ingestion.ragged import Doubtful
from schemas.datasets import ColumnType, FileFormat

LENIENT = Limits(max_rejected_share=1)


def read(
    folder: Path, content: bytes | str, name: str = "t.csv", limits: Limits = LENIENT, **hints: Any
) -> Converted:
    source = folder / "source"
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    into = Path(tempfile.mkdtemp(dir=folder))
    return convert(source, name, into, hints=Hints(**hints), limits=limits)


def rows(found: Converted) -> list[dict[str, Any]]:
    table = pq.read_table(found.parquet)
    assert table.num_rows == found.rows
    assert [column.null_count for column in table.columns] == [column.missing for column in found.columns]
    found_rows: list[dict[str, Any]] = table.to_pylist()
    return found_rows


def types(found: Converted) -> dict[str, str]:
    return {column.name: column.type.value for column in found.columns}


def rejects(found: Converted) -> list[tuple[int, str, str]]:
    if found.rejects is None:
        assert not found.rejected
        return []
    kept = [tuple(row.values()) for row in pq.read_table(found.rejects).to_pylist()]
    assert len(kept) == found.rejected
    return kept


def column(folder: Path, *values: str) -> tuple[str, list[Any]]:
    """The type and the values of a column beside another one."""
    text = io.StringIO()
    csv.writer(text).writerows([("v", "other"), *((value, "x") for value in values)])
    found = read(folder, text.getvalue())
    return found.columns[0].type.value, [row["v"] for row in rows(found)]


def test_a_table_of_all_types(tmp_path: Path) -> None:
    found = read(tmp_path, "n,x,ok,day,at,name\n1,1.5,true,2026-11-21,2026-11-21 09:30:00,a b\n2,,FALSE,,,\n")
    assert types(found) == {
        "n": "integer",
        "x": "float",
        "ok": "boolean",
        "day": "date",
        "at": "timestamp",
        "name": "text",
    }
    second = {"n": 2, "x": None, "ok": False, "day": None, "at": None, "name": None}
    assert rows(found)[1] == second
    reading = found.reading
    assert (reading.format, reading.encoding, reading.delimiter, reading.quote, reading.header) == (
        FileFormat.CSV,
        "utf-8",
        ",",
        '"',
        True,
    )
    assert found.rejects is None
    assert not found.warnings


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, mark: str) -> None:
    found = read(tmp_path, mark.join("ab") + "\n" + mark.join(["1,2 a", "x"]).replace(mark + ",", " ") + "\n")
    expected = mark if mark != "," else ","
    assert found.reading.delimiter == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_all_systems_with_and_without_the_last_one(tmp_path: Path, end: str, last: bool) -> None:
    text = end.join(["a,b", "1,x", "2,y"]) + (end if last else "")
    assert rows(read(tmp_path, text)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_mixed_line_ends_and_blank_lines(tmp_path: Path) -> None:
    assert [row["a"] for row in rows(read(tmp_path, "\na,b\r\n1,x\n\n2,y\r3,z\n\n"))] == [1, 2, 3]


def test_a_quoted_field_may_have_newlines_quotes_and_delimiters(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1,"x\ny, ""z"""\n2,"p\r\nq"\n')
    assert [row["b"] for row in rows(found)] == ['x\ny, "z"', "p\r\nq"]


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-32", "utf-32"), ("cp1252", "cp1252")]
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str, said: str) -> None:
    words = ["Größe", "Zürich", "Käse", "Straße", "été", "garçon", "Mädchen", "français"]
    text = "a,b\n" + "".join(f"{number},{word}\n" for number, word in enumerate(words * 20))
    found = read(tmp_path, text.encode(encoding))
    assert [row["b"] for row in rows(found)] == words * 20
    assert list(rows(found)[0]) == ["a", "b"]
    assert found.reading.encoding == said


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        *(("cp1252", word) for word in ("när", "Åsa", "naïve", "Müller", "niño")),
        *(("cp1250", word) for word in ("imię,Łódź,źdźbło,żółw",)),
        *(("cp1251", word) for word in ("имя,город,Иван,Москва",)),
        *(("cp932", word) for word in ("トヨタ,東京",)),
        *(("big5", word) for word in ("一般資料,台北",)),
        *(("cp949", word) for word in ("김철수,서울",)),
    ],
)
def test_few_letters_beyond_ascii_do(tmp_path: Path, encoding: str, word: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(f"id,{word}\n1,{word}\n2,x\n".encode(encoding))
    assert path.read_bytes().decode(scan(path, None, lambda _: None).encoding) == path.read_bytes().decode(encoding)


def test_an_encoding_that_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n1,Łódź\n".encode("cp1250"), encoding="cp1250")
    assert rows(found) == [{"a": 1, "b": "Łódź"}]
    with pytest.raises(Unreadable, match="There is no encoding 'utf-9'"):
        read(tmp_path, "a,b\n1,x\n", encoding="utf-9")


def test_lines_in_another_encoding_than_the_others_are_rejected(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n1,ä\n2,ö\n3,".encode() + b"\xfc\n" + "4,ü\n".encode())
    assert [row["a"] for row in rows(found)] == [1, 2, 4]
    assert rejects(found) == [(4, "byte 0xfc at column 3 is not of the file's encoding", "3,\\udcfc\n")]


def test_lines_with_nul_are_rejected(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n" + "1,x\n" * 20 + "2,\0y\n")
    assert (found.rows, [line for line, *_ in rejects(found)]) == (20, [22])


def test_ragged_rows_are_rejected_with_their_lines(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1,x\n2\n"3\n",y,z\n4,w\n')
    assert [row["a"] for row in rows(found)] == [1, 4]
    reason = "the row has {} fields instead of 2".format
    assert rejects(found) == [(3, reason(1), "2"), (4, reason(3), "3\n,y,z")]
    assert found.warnings == [f"2 of 4 rows were rejected, the first in line 3: {reason(1)}."]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_few_ragged_rows_of_many_are_read_with_care_and_the_others_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes, end: str
) -> None:
    lines = ["a,b,c", *(f'{n},"x{n}{end}y",z' for n in range(60_000))]
    lines[7], lines[30_000], lines[-1] = "1,2", 'p,"q,r",s,t,u', "  "
    content = mark + end.join([lines[0], "", *lines[1:]]).encode()
    with monkeypatch.context() as patched:
        patched.setattr("consumers.ingestion.delimited._read_with_care", None)
        found = read(tmp_path, content)
    assert (types(found)["a"], found.rows) == ("integer", 59_997)
    reason = "the row has {} fields instead of 3".format
    assert rejects(found) == [
        (15, reason(2), "1,2"),
        (60_000, reason(5), "p,q,r,s,t,u"),
        (119_999, reason(1), "  "),
    ]
    monkeypatch.setattr("consumers.ingestion.delimited._read_ragged", _doubted)
    with_care = read(tmp_path, content)
    assert rejects(with_care) == rejects(found)
    assert rows(with_care) == rows(found)


def _doubted(*_: object) -> None:
    raise Doubtful


@pytest.mark.parametrize("missing", MISSING[1:])
def test_what_stands_for_no_value_may_come_late_in_a_column_of_any_type(tmp_path: Path, missing: str) -> None:
    text = (
        "a,b,c,d,e,f\n" + "1,0.5,true,2026-01-01,2026-01-01T10:00:00,word\n" * 20_000 + f"{missing},".join([""] * 6)
    )
    found = read(tmp_path, text + missing)
    assert list(types(found).values()) == ["integer", "float", "boolean", "date", "timestamp", "category"]
    assert [column.missing for column in found.columns] == [1] * 6


def test_texts_of_which_a_usual_row_group_does_not_fit_into_memory(tmp_path: Path) -> None:
    page = "".join(chr(97 + n * n % 23) for n in range(8_000))
    text = "n,page\n" + "".join(f"{n},{n}{page}\n" for n in range(20_000))
    found = read(tmp_path, text, limits=Limits(memory_limit_mb=160))
    assert (found.rows, found.rejected, types(found)) == (20_000, 0, {"n": "integer", "page": "text"})


def test_a_quote_that_never_ends_costs_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1,x\n2,"y\n3,z\n4,"p\nq"\n5,"r"s\n6,t\n')
    assert [row["a"] for row in rows(found)] == [1, 3, 4, 6]
    assert [(line, text) for line, _, text in rejects(found)] == [(3, '2,"y\n'), (7, '5,"r"s\n')]


def test_more_rejects_than_allowed_make_a_file_unreadable(tmp_path: Path) -> None:
    text = "a,b\n" + "1,x\n" * 18 + "2\n"
    assert read(tmp_path, text, limits=Limits(max_rejected_share=0.06)).rejected == 1
    with pytest.raises(
        Unreadable, match=r"1 of 19 rows cannot be read, and 5% are the most; the first is in line 20"
    ):
        read(tmp_path, text, limits=Limits())


def test_a_gigantic_line_is_rejected(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n1,x\n2," + "y" * (9 * LONGEST_LINE) + "\n3,z\n")
    assert [row["a"] for row in rows(found)] == [1, 3]
    ((line, reason, kept),) = rejects(found)
    assert (line, reason, len(kept)) == (3, "the line is longer than 4,194,304 characters", 10_000)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unreadable, match=r"empty|no row"):
        read(tmp_path, content)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n")
    assert (found.rows, types(found), rows(found)) == (0, {"a": "text", "b": "text"}, [])


def test_names_are_made_unique_and_never_empty(tmp_path: Path) -> None:
    found = read(tmp_path, "a,,a,A, b ,a_2\n1,2,3,4,5,6\n")
    assert list(types(found)) == ["a", "column_2", "a_3", "A_4", "b", "a_2"]
    assert found.reading.renamed == {"column_2": "", "a_3": "a", "A_4": "A", "b": " b "}
    assert list(rows(found)[0].values()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,x\n2,y\n", True),
        ("1,x\n2,y\n", False),
        ("a,b\nx,y\n", True),
        ("1,2\n", False),
        ("name,2019,2020\nx,1.5,2.5\n", False),
    ],
)
def test_the_header_is_found(tmp_path: Path, text: str, header: bool) -> None:
    assert read(tmp_path, text).reading.header is header


def test_a_header_that_is_told(tmp_path: Path) -> None:
    assert list(types(read(tmp_path, "name,2019\nx,1\n", header=True))) == ["name", "2019"]
    assert list(types(read(tmp_path, "a,b\n1,x\n", header=False))) == ["column_1", "column_2"]


def test_ten_thousand_columns_are_read_and_more_are_refused(tmp_path: Path) -> None:
    def table(columns: int) -> str:
        return "\n".join(",".join(f"{prefix}{n}" for n in range(columns)) for prefix in ("c", "", "1")) + "\n"

    found = read(tmp_path, table(10_000))
    assert (found.rows, set(types(found).values())) == (2, {"integer"})
    with pytest.raises(Unreadable, match=r"10,001 columns, and 10,000 are the most"):
        read(tmp_path, table(10_001))


def test_a_wrong_extension_is_a_warning(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n1,x\n", "t.parquet")
    assert found.warnings == ["The file is called 't.parquet', but its content is csv, and was read as that."]


@pytest.mark.parametrize(
    "content", [bytes(range(256)) * 9, b"\x89PNG\r\n\x1a\n" + bytes(99), b"%PDF-1.7\n", b"<html>"]
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unreadable, match="upload CSV, TSV, JSON Lines"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", " 2", "-3"], ("integer", [1, 2, -3])),
        (["9223372036854775807"], ("integer", [2**63 - 1])),
        (["1", "9223372036854775808"], ("text", ["1", "9223372036854775808"])),
        (["1.5", "12345678901234567890"], ("text", ["1.5", "12345678901234567890"])),
        (["01234", "56789"], ("text", ["01234", "56789"])),
        ([" 012", "-01.5"], ("text", [" 012", "-01.5"])),
        (["1.5", "01.5"], ("text", ["1.5", "01.5"])),
        (["+491701234567"], ("text", ["+491701234567"])),
        (["1_000"], ("text", ["1_000"])),
        (["0x10"], ("text", ["0x10"])),
        (["1", "2.5", "1e3", "-.5"], ("float", [1, 2.5, 1000, -0.5])),
        (["inf", "-Infinity", "NaN", "1"], ("float", [float("inf"), float("-inf"), None, 1])),
        (["1e400"], ("text", ["1e400"])),
        (["1", "x"], ("text", ["1", "x"])),
        (["true", "0"], ("text", ["true", "0"])),
        (["yes", "no"], ("text", ["yes", "no"])),
        (["1", *MISSING], ("integer", [1, *[None] * len(MISSING)])),
    ],
)
def test_a_column_has_the_narrowest_type_that_keeps_all_its_values(
    tmp_path: Path, values: list[str], expected: tuple[str, list[Any]]
) -> None:
    assert column(tmp_path, *values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2026-11-21"], ("date", ["2026-11-21"])),
        (["21.11.2026", "01.02.2026"], ("date", ["2026-11-21", "2026-02-01"])),
        (["01/02/2026", "21/11/2026"], ("date", ["2026-02-01", "2026-11-21"])),
        (["01/02/2026", "11/21/2026"], ("date", ["2026-01-02", "2026-11-21"])),
        (["21-Nov-2026"], ("date", ["2026-11-21"])),
        (["2026-11-21", "2026-11-21T09:30"], ("timestamp", ["2026-11-21 00:00:00", "2026-11-21 09:30:00"])),
        (["2026-11-21T09:30:00+02:00"], ("timestamp", ["2026-11-21 07:30:00"])),
        (["21/11/2026 09:30"], ("timestamp", ["2026-11-21 09:30:00"])),
        (["2026-11-21T09:30:00Z", "2026-11-21T09:30:00"], ("text", ["2026-11-21T09:30:00Z", "2026-11-21T09:30:00"])),
        (["2026-02-30"], ("text", ["2026-02-30"])),
        (["2026-11-21", "21.11.2026"], ("text", ["2026-11-21", "21.11.2026"])),
    ],
)
def test_dates_of_one_format(tmp_path: Path, values: list[str], expected: tuple[str, list[str]]) -> None:
    kind, found = column(tmp_path, *values)
    assert (kind, [str(value) for value in found]) == expected


def test_days_that_could_be_months_stay_text(tmp_path: Path) -> None:
    found = read(tmp_path, "day,n\n01/02/2026,1\n03/04/2026,2\n")
    assert types(found)["day"] == "text"
    assert found.warnings == [
        "The dates in 'day' may have the day or the month first, and stay text: write them as 2026-12-31."
    ]


def test_few_texts_that_recur_are_a_category(tmp_path: Path) -> None:
    found = read(tmp_path, "c,t\n" + "".join(f"{'red' if n % 2 else 'blue'},text {n}\n" for n in range(5_000)))
    assert types(found) == {"c": ColumnType.CATEGORY, "t": ColumnType.TEXT}
    assert pq.ParquetFile(found.parquet).metadata.row_group(0).column(0).has_dictionary_page


@pytest.mark.parametrize(
    ("late", "kind"), [("1.5", "float"), ("x", "category"), ("012", "category"), ("99999999999999999999", "category")]
)
def test_a_late_value_widens_its_column_and_is_never_rejected(tmp_path: Path, late: str, kind: str) -> None:
    found = read(tmp_path, "a,b\n" + "1,2\n" * 400_000 + f"{late},3\n")
    assert (types(found), found.rows, found.rejected) == ({"a": kind, "b": "integer"}, 400_001, 0)


def test_a_column_whose_values_come_late_is_typed_by_them(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n" + ",2\n" * 600_000 + "7,3\n")
    assert types(found)["a"] == "integer"
    assert found.columns[0].missing == 600_000


def test_the_same_bytes_make_the_same_parquet(tmp_path: Path) -> None:
    text = "a,b,c\n" + "".join(f"{n},{n * 0.37:.3f},{'x' * (n % 7)}\n" for n in range(900_000))
    digests = {hashlib.sha256(read(tmp_path, text).parquet.read_bytes()).hexdigest() for _ in range(3)}
    assert len(digests) == 1


def test_quoted_newlines_across_buffers_keep_rows_and_their_order(tmp_path: Path) -> None:
    filling = "line,1\n" * 40
    text = "n,t\n" + "".join(f'{n},"{filling}{n}"\n' for n in range(130_000))
    table = pq.read_table(read(tmp_path, text).parquet)
    assert table["n"].to_pylist() == list(range(130_000))
    assert all(value.endswith(str(n)) for n, value in enumerate(table["t"].to_pylist()))


def test_progress_grows_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ingestion.convert._TELL_EVERY_S", 0)
    source = tmp_path / "s"
    source.write_text("a,b\n" + "1,x\n" * 300_000 + "2\n")
    into = tmp_path / "into"
    into.mkdir()
    told: list[tuple[float, str]] = []
    convert(source, "s.csv", into, progress=lambda share, message: told.append((share, message)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    assert all("s left" in message for _, message in told)


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    table=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=1)
    )
)
def test_any_table_of_texts_that_is_written_comes_back(table: list[list[str]]) -> None:
    text = io.StringIO()
    names = [f"name {at}" for at in range(len(table[0]))]
    # A word at the end of each text keeps it one: numbers and dates have tests of their own.
    csv.writer(text).writerows([names, *([f"{cell} word" for cell in row] for row in table)])
    with tempfile.TemporaryDirectory() as folder:
        found = read(
            Path(folder), text.getvalue(), format=FileFormat.CSV, delimiter=",", encoding="utf-8", header=True
        )
        assert [list(row.values()) for row in rows(found)] == [[f"{cell} word" for cell in row] for row in table]
    assert not found.rejected
