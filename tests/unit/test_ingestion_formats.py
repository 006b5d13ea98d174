"""Formats other than delimited text, and what files are packed in."""

import gzip
import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ingestion.conversion import Limits, Unreadable
from consumers.ingestion.names import kept
from schemas.datasets import FileFormat
from tests.unit.test_ingestion_convert import read, rejects, rows, types

CSV = b"a,b\n1,x\n2,y\n"
OBJECTS = [
    {"n": 1, "x": 1, "s": "01", "day": "2026-11-21", "deep": {"a": [1, "ä"]}, "mix": 1, "ok": True},
    {"n": 2, "x": 1.5, "s": "", "day": None, "deep": [1], "mix": "1", "late": "x"},
]
TYPES = {
    "n": "integer",
    "x": "float",
    "s": "text",
    "day": "date",
    "deep": "json",
    "mix": "text",
    "ok": "boolean",
    "late": "text",
}


def json_lines(*objects: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in objects)


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (json_lines(*OBJECTS), FileFormat.JSON_LINES),
        (json.dumps(OBJECTS, indent=2), FileFormat.JSON),
        (json.dumps(OBJECTS).encode("utf-16"), FileFormat.JSON),
    ],
)
def test_json_objects_keep_the_types_that_they_say(tmp_path: Path, content: str | bytes, format: FileFormat) -> None:
    found = read(tmp_path, content, "t.json")
    assert (found.reading.format, types(found), found.warnings) == (format, TYPES, [])
    first, second = rows(found)
    assert first["day"] == date(2026, 11, 21)
    assert json.loads(first["deep"]) == {"a": [1, "ä"]}
    assert (first["mix"], second["mix"], first["late"], second["s"], first["s"]) == ("1", "1", None, "", "01")


def test_an_object_of_columns(tmp_path: Path) -> None:
    found = read(tmp_path, '{"n": [1, 2, null], "a b": ["x", "y", "z"],\n "n ": [1.5, NaN, Infinity]}', "t.json")
    assert types(found) == {"n": "integer", "a b": "text", "n_2": "float"}
    assert [list(row.values()) for row in rows(found)] == [[1, "x", 1.5], [2, "y", None], [None, "z", math.inf]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"a": [1, 2], "b": [1]}', "not equally long"),
        ('{"data": {"x": 1}, "b": [\n]}', "'data' is no array"),
        ('[{"a": 1},\n{"a": }]', "broken in line 2: Expecting value"),
        ('[{"a": 1}', "broken in line 1"),
        ('[{"a": 1}] []', "more after the end"),
        ("[]", "holds no objects"),
        ("[[1, 2]]", "an array instead of an object"),
        ("[{}]", "no keys"),
    ],
)
def test_json_that_is_no_table_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(Unreadable, match=complaint):
        read(tmp_path, content, "t.json")


def test_broken_json_lines_are_rejected(tmp_path: Path) -> None:
    bad = ['{"a": ', "[1]", '{"a": "\\ud800"}', '{"a": ' + "[" * 100_000, '{"a": 2} x']
    found = read(tmp_path, json_lines({"a": 1}) + "\n" + "\n".join(bad) + "\n" + json_lines({"a": 3}))
    assert [row["a"] for row in rows(found)] == [1, 3]
    assert [line for line, *_ in rejects(found)] == [3, 4, 5, 6, 7]
    assert rejects(found)[0][1] == "no JSON at column 6: Expecting value"


def test_integers_beyond_64_bits_stay_text(tmp_path: Path) -> None:
    found = read(tmp_path, json_lines({"a": 1}, {"a": 2**64}))
    assert (types(found), rows(found)) == ({"a": "text"}, [{"a": "1"}, {"a": str(2**64)}])


def test_keys_that_come_late_and_many_rows(tmp_path: Path) -> None:
    found = read(tmp_path, json_lines(*({"a": n, f"k{n // 40_000}": n} for n in range(120_000))))
    assert types(found) == dict.fromkeys(["a", "k0", "k1", "k2"], "integer")
    assert [row["a"] for row in rows(found)] == list(range(120_000))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.lists(_JSON, max_size=3), min_size=1, max_size=9))
def test_nested_values_come_back(tmp_path_factory: pytest.TempPathFactory, values: list[list[Any]]) -> None:
    content = json_lines(*({"n": at, "v": value} for at, value in enumerate(values)))
    if "Infinity" in content:
        return
    found = read(tmp_path_factory.mktemp("json"), content)
    assert [json.loads(row["v"]) for row in rows(found)] == values


def arrow_table() -> pa.Table:
    at = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    return pa.table(
        {
            "small": pa.array([1, None, 3], pa.int8()),
            "big": pa.array([1, 2, 2**63], pa.uint64()),
            "half": pa.array([0.5, math.nan, math.inf], pa.float32()),
            "money": pa.array([Decimal("1.25")] * 3),
            "ok": [True, False, None],
            "at": pa.array([at] * 3, pa.timestamp("ms", "Europe/Berlin")),
            "code": pa.array(["NA", "", "01"]).dictionary_encode(),
            "raw": pa.array([b"\xff"] * 3),
            "list": [[1], [], None],
            "nothing": pa.nulls(3),
        }
    )


def written(format: str) -> bytes:
    table, out = arrow_table(), io.BytesIO()
    if format == "parquet":
        pq.write_table(table, out)
    elif format == "stream":
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        feather.write_feather(table, out, compression="lz4")
    return out.getvalue()


@pytest.mark.parametrize("format", ["parquet", "stream", "feather"])
def test_typed_files_keep_their_values(tmp_path: Path, format: str) -> None:
    found = read(tmp_path, written(format), f"t.{'parquet' if format == 'parquet' else 'arrow'}")
    assert not found.warnings
    expected = "integer text float float boolean timestamp text text json text"
    assert list(types(found).values()) == expected.split()
    first, second, third = (list(row.values()) for row in rows(found))
    assert first[:9] == [1, "1", 0.5, 1.25, True, datetime(2026, 11, 21, 9, 30), "NA", "/w==", "[1]"]  # noqa: DTZ001
    assert (second[2], second[6], third[1], third[2]) == (None, "", str(2**63), math.inf)


@pytest.mark.parametrize(
    "magic", [b"PAR1", b"ARROW1\0\0", b"FEA1", b"\xff\xff\xff\xff", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_damaged_files_are_refused(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(Unreadable, match=r"damaged|cannot be"):
        read(tmp_path, magic + bytes(100))


def workbook(**sheets: list[list[Any]]) -> bytes:
    """The least that is one."""
    out = io.BytesIO()
    kinds = "".join(
        f'<Override PartName="/xl/worksheets/s{n}.xml" ContentType="{_XL}.worksheet+xml"/>'
        for n in range(len(sheets))
    )
    entries = "".join(f'<sheet name="{name}" sheetId="{n + 1}" r:id="r{n}"/>' for n, name in enumerate(sheets))
    links = "".join(
        f'<Relationship Id="r{n}" Type="{_REL}/worksheet" Target="worksheets/s{n}.xml"/>' for n in range(len(sheets))
    )
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType="{_RELS}"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_XL}.sheet.main+xml"/>{kinds}</Types>',
        )
        main = f'<Relationship Id="r" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{main}</Relationships>')
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>{entries}</sheets></workbook>'
        )
        for n, table in enumerate(sheets.values()):
            archive.writestr(f"xl/worksheets/s{n}.xml", _sheet(table))
    return out.getvalue()


_XL = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_RELS = "application/vnd.openxmlformats-package.relationships+xml"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def _sheet(table: list[list[Any]]) -> str:
    def cell(column: int, row: int, value: Any) -> str:
        place = f'r="{"ABCDEFG"[column]}{row}"'
        match value:
            case bool():
                return f'<c {place} t="b"><v>{int(value)}</v></c>'
            case str():
                return f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'
            case _:
                return f"<c {place}><v>{value}</v></c>"

    cells = [
        [cell(at, number, value) for at, value in enumerate(row) if value is not None]
        for number, row in enumerate(table, 1)
    ]
    lines = [f'<row r="{number}">{"".join(row)}</row>' for number, row in enumerate(cells, 1)]
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def test_parquet_with_pages_that_do_not_fit_into_memory(tmp_path: Path) -> None:
    page = "".join(chr(97 + n * n % 23) for n in range(8_000))
    table = pa.table({"n": range(20_000), "page": [f"{n}{page}" for n in range(20_000)]})
    packed = io.BytesIO()
    pq.write_table(table, packed, row_group_size=20_000, data_page_size=1 << 30, use_dictionary=False)
    found = read(tmp_path, packed.getvalue(), "t.parquet", limits=Limits(memory_limit_mb=160))
    assert (found.rows, types(found)) == (20_000, {"n": "integer", "page": "text"})


def test_excel(tmp_path: Path) -> None:
    book = workbook(
        one=[["n", "x", "zip", "ok"], [1, 1.5, "01234", True], [2, None, "56789", False]], two=[["a"], ["b"]]
    )
    found = read(tmp_path, book, "t.xlsx")
    assert types(found) == {"n": "integer", "x": "float", "zip": "text", "ok": "boolean"}
    assert rows(found)[1] == {"n": 2, "x": None, "zip": "56789", "ok": False}
    assert (found.reading.format, found.reading.sheet, found.reading.compression) == (FileFormat.EXCEL, "one", None)
    assert rows(read(tmp_path, book, sheet="two")) == [{"a": "b"}]
    with pytest.raises(Unreadable, match="no sheet 'three': there are 'one', 'two'"):
        read(tmp_path, book, sheet="three")


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (gzip.compress(CSV), "gzip"),
        (gzip.compress(CSV[:5]) + gzip.compress(CSV[5:]), "gzip"),
        (zipped(("t.csv", CSV)), "zip"),
        (zipped(("folder/", b""), ("__MACOSX/._t.csv", b"x"), ("folder/t.csv", CSV)), "zip"),
    ],
    ids=["gzip", "two gzips", "zip", "zip with folders"],
)
def test_packed_files_are_unpacked(tmp_path: Path, content: bytes, compression: str) -> None:
    found = read(tmp_path, content)
    assert (found.rows, found.reading.compression, found.warnings) == (2, compression, [])


def test_nothing_is_written_where_an_archive_says(tmp_path: Path) -> None:
    found = read(tmp_path, zipped(("../../escaped.csv", CSV)))
    assert found.rows == 2
    assert not list(tmp_path.parent.rglob("escaped.csv"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (zipped(("a.csv", CSV), ("b.csv", CSV)), r"2 files \('a.csv', 'b.csv'\)"),
        (zipped(), "holds no file"),
        (zipped(("a.csv.gz", gzip.compress(CSV))), "packed twice"),
        (zipped(("a.csv", CSV))[:-30], "cannot be opened"),
        (
            zipped(("a.csv", CSV)).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
            "encrypted",
        ),
        (gzip.compress(CSV * 99)[:-20], "damaged"),
        (gzip.compress(CSV)[:-8] + bytes(8), "damaged"),
        (gzip.compress(b""), "empty"),
    ],
    ids=["two", "none", "twice", "cut zip", "encrypted", "cut gzip", "wrong sum", "empty"],
)
def test_what_cannot_be_unpacked_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(Unreadable, match=complaint):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, lambda bomb: zipped(("a.csv", bomb)), lambda bomb: zipped(("xl/workbook.xml", bomb))],
    ids=["gzip", "zip", "excel"],
)
def test_bombs_are_refused_while_they_unpack(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unreadable, match="zip bomb"):
        read(tmp_path, pack(b"a,b\n" + bytes(60 << 20)))
    assert all(path.stat().st_size < 40 << 20 for path in tmp_path.rglob("*") if path.is_file())


def test_an_unpacked_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="more than"):
        read(tmp_path, gzip.compress(CSV * 100), limits=Limits(max_uncompressed_bytes=1_000))


def test_a_format_that_is_told_must_be_the_files(tmp_path: Path) -> None:
    assert read(tmp_path, '["a","b"]\n1,2\n', format=FileFormat.CSV).reading.format is FileFormat.CSV
    with pytest.raises(Unreadable, match="parquet and not csv"):
        read(tmp_path, written("parquet"), format=FileFormat.CSV)
    with pytest.raises(Unreadable, match="csv and not excel"):
        read(tmp_path, CSV, format=FileFormat.EXCEL)


@given(st.lists(st.text(max_size=3)))
def test_names_are_unique_to_readers_that_ignore_case(names: list[str]) -> None:
    new, renamed = kept(names)
    assert len({name.casefold() for name in new}) == len(names)
    assert all(new)
    assert [renamed.get(name, name) for name in new] == names


def test_raw_deflate_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no table"):
        read(tmp_path, zlib.compress(bytes(range(256)) * 99) * 9)
