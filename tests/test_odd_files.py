"""Files as spreadsheets, scrapers and other tools write them: each is read right, or refused with
one sentence that says what to do."""

import gzip
import io
import json
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from elman.data.form import Form
from elman.data.readers import read_examples, read_inputs
from elman.errors import DataError, ElmanError

AB = [("good film", "pos"), ("bad film", "neg")]
COMMAS = [("good, really", "pos"), ("bad, so bad", "neg")]
RUSSIAN = [("Отличный фильм, всем советую", "да"), ("Ужасно скучно, ушли рано", "нет")]
LINES = "".join(f"{text}\t{label}\n" for text, label in RUSSIAN)


class Odd(NamedTuple):
    file: str
    content: str | bytes
    rows: list[tuple[str, str]] | None = None
    """What is read; None where it is refused."""
    said: str = ""
    """Part of the refusal, or of a note."""
    form: dict[str, Any] = {}  # noqa: RUF012
    columns: dict[str, str] = {}  # noqa: RUF012


def parquet(**columns):
    handle = io.BytesIO()
    pl.DataFrame(columns).write_parquet(handle)
    return handle.getvalue()


SO_GOOD = ("good, so good", "__label__a")
MESSAGES = [(f"message {i} of many", "spam" if i % 3 else "ham") for i in range(12)]
NUMBERED = {"text": "1", "label": "2"}
FOUR_FIVE = {"text": "4", "label": "5"}
NO_HEADER = {"header": False}
SKIP = {"bad_rows": "skip"}
DROP = {"drop_unlabelled": True}

ODD = {
    # --- a header or not
    "a header that is known": Odd("a.csv", "text,label\ngood film,pos\nbad film,neg\n", AB),
    "words with tags, the first one a name of a column": Odd(
        "a.tsv",
        "name\tNOUN\nrun\tVERB\ncat\tNOUN\n",
        [("name", "NOUN"), ("run", "VERB"), ("cat", "NOUN")],
        "no header found: column 1 is read as the text, column 2 is read as the label",
    ),
    "words with tags, the first one a name of a column by number": Odd(
        "a.tsv",
        "name\tNOUN\nrun\tVERB\n",
        [("name", "NOUN"), ("run", "VERB")],
        "no header found",
        columns=NUMBERED,
    ),
    "words with tags, the first one a name of a column with commas": Odd(
        "a.csv", "name,NOUN\nrun,VERB\n", [("name", "NOUN"), ("run", "VERB")], columns=NUMBERED
    ),
    "words with tags, the first one a name of a column with semicolons": Odd(
        "a.csv", "name;NOUN\nrun;VERB\n", [("name", "NOUN"), ("run", "VERB")], columns=NUMBERED
    ),
    "a name of a column and an unknown word": Odd(
        "a.tsv", "name\tNOUN\nrun\tVERB\n", None, "or --no-header, where the first row is data"
    ),
    "a name of a column and an unknown word, said to have no header": Odd(
        "a.tsv", "name\tNOUN\nrun\tVERB\n", [("name", "NOUN"), ("run", "VERB")], form=NO_HEADER
    ),
    "a header of known words, columns by number": Odd(
        "a.csv",
        "text,label\ngood film,pos\nbad film,neg\n",
        AB,
        "the first row is taken as the header: 'text', 'label' (--no-header reads it as data)",
        columns=NUMBERED,
    ),
    "a header of known words, said to be data": Odd(
        "a.csv",
        "text,label\ngood film,pos\n",
        [("text", "label"), ("good film", "pos")],
        form=NO_HEADER,
        columns=NUMBERED,
    ),
    "numbers below a word": Odd(
        "a.csv",
        "what was said,how good\ngood,5\nbad,1\nfair,3\n",
        [("good", "5"), ("bad", "1"), ("fair", "3")],
        "the first row is taken as the header",
        columns=NUMBERED,
    ),
    "an unknown header, said to be one": Odd(
        "a.csv", "x,y\ngood film,pos\n", AB[:1], form={"header": True}, columns=NUMBERED
    ),
    "an unknown header by its names": Odd(
        "a.csv", "x,y\ngood film,pos\n", AB[:1], columns={"text": "x", "label": "y"}
    ),
    "no header, both columns repeat": Odd(
        "a.csv",
        "good,pos\ngood,neg\nbad,pos\n",
        [("good", "pos"), ("good", "neg"), ("bad", "pos")],
    ),
    "a header alone": Odd("a.csv", "text,label\n", None, "has a header and no rows"),
    "a header with quotes": Odd("a.csv", '"text","label"\n"good film","pos"\n', AB[:1]),
    "a header in capitals with blanks": Odd("a.csv", " Text , LABEL\ngood film,pos\n", AB[:1]),
    "a title above the header": Odd(
        "a.csv",
        "Report of May\n\ntext,label\ngood film,pos\nbad film,neg\n",
        AB,
        "2 lines above the header left out: Report of May",
    ),
    "a comment above the header": Odd(
        "a.csv", "# made by us\ntext;label\ngood film;pos\nbad film;neg\n", AB
    ),
    "a first row without its label is no title": Odd(
        "a.tsv",
        "fair film\ngood film\tpos\nbad film\tneg\n",
        None,
        "line 1: label column 2 is empty",
    ),
    "numbers first, no header": Odd(
        "a.csv",
        '4,"good, really"\n1,"bad, so bad"\n5,so good\n',
        [("good, really", "4"), ("bad, so bad", "1"), ("so good", "5")],
        "column 2 is read as the text, column 1 is read as the label",
    ),
    "labels first, few rows, no header": Odd(
        "a.txt",
        "ham\tgo on now\nspam\tfree entry\nham\tso it is\n",
        [("go on now", "ham"), ("free entry", "spam"), ("so it is", "ham")],
    ),
    "a delimiter at the end of each row, no header": Odd(
        "a.tsv", "good film\tpos\t\nbad film\tneg\t\n", AB
    ),
    "rows in quotes as a whole": Odd(
        "a.csv",
        '"text,label"\n"good film,pos"\n"bad film,neg"\n',
        AB,
        "each row stands in quotation marks as a whole",
    ),
    "rows in quotes as a whole, quotes within": Odd(
        "a.csv",
        '"text,label"\n"""good, really"",pos"\n"""bad, so bad"",neg"\n',
        COMMAS,
    ),
    "a delimiter of several characters": Odd(
        "a.dat",
        "good, really::pos\nbad, so bad::neg\nso good::pos\n",
        [*COMMAS, ("so good", "pos")],
        form={"delimiter": "::"},
    ),
    "a delimiter of several characters beside quotes": Odd(
        "a.dat",
        'text|||label\n"good|||film"|||pos\nbad film|||neg\n',
        [("good|||film", "pos"), AB[1]],
        form={"delimiter": "|||"},
    ),
    "JSON lines with commas behind them": Odd(
        "a.jsonl",
        '{"text": "good film", "label": "pos"},\n{"text": "bad film", "label": "neg"},\n',
        AB,
    ),
    "dictionaries of Python": Odd(
        "a.jsonl",
        "{'text': 'a', 'label': 1}\n",
        None,
        "is not valid JSON (column 2), which has double quotation marks",
    ),
    "UTF-8 said to be cp1251": Odd(
        "a.csv",
        "text,label\nпривет,x\n",
        [("РїСЂРёРІРµС‚", "x")],
        "read as cp1251, as was said, though it is UTF-8",
        {"encoding": "cp1251"},
    ),
    "names of columns that come twice": Odd(
        "a.csv", "text,label,text\ngood film,pos,x\n", AB[:1], "columns not used"
    ),
    "a column without a name": Odd("a.csv", ",text,label\n0,good film,pos\n", AB[:1]),
    "row numbers that R writes": Odd(
        "a.csv", '"text","label"\n"1","good film","pos"\n"2","bad film","neg"\n', AB
    ),
    "blank lines before the header": Odd("a.csv", "\n\ntext,label\ngood film,pos\n", AB[:1]),
    # --- delimiters
    "Excel's sep=;": Odd("a.csv", "sep=;\ntext;label\ngood film;pos\nbad film;neg\n", AB),
    "Excel's sep=, with quotes": Odd("a.csv", '"sep=,"\r\ntext,label\r\ngood film,pos\r\n', AB[:1]),
    "Excel's sep=; in capitals, no header": Odd(
        "a.csv", "SEP=;\ngood film;pos\nbad film;neg\nfine;pos\n", [*AB, ("fine", "pos")]
    ),
    "Excel's sep= with a tab": Odd("a.csv", "sep=\t\ntext\tlabel\ngood film\tpos\n", AB[:1]),
    "sep=; after a byte-order mark": Odd(
        "a.csv", "\ufeffsep=;\ntext;label\ngood film;pos\n", AB[:1]
    ),
    "a line that is missing names the right line after sep=": Odd(
        "a.csv", "sep=;\ntext;label\ngood film;pos\nbad film;\n", None, "a.csv line 4: label column"
    ),
    "commas in the header, semicolons between": Odd(
        "a.csv",
        "Review (long, free text);Stars\ngood, really;pos\nbad, so bad;neg\nfair;pos\n",
        [*COMMAS, ("fair", "pos")],
        columns={"text": "Review (long, free text)", "label": "Stars"},
    ),
    "commas in the header, semicolons between by number": Odd(
        "a.csv",
        "Review (long, free text);Stars\ngreat, thanks;5\nbad;1\nwell, fair;3\n",
        [("great, thanks", "5"), ("bad", "1"), ("well, fair", "3")],
        columns=NUMBERED,
    ),
    "a comma in each text, semicolons between": Odd(
        "a.csv", "text;label\ngood, really;pos\nbad, so bad;neg\n", COMMAS
    ),
    "a comma in each text, tabs between, called csv": Odd(
        "a.csv", "text\tlabel\ngood, really\tpos\nbad, so bad\tneg\n", COMMAS
    ),
    "commas between, called tsv": Odd("a.tsv", "text,label\ngood film,pos\nbad film,neg\n", AB),
    "commas between, called txt": Odd("a.txt", "text,label\ngood film,pos\nbad film,neg\n", AB),
    "bars between": Odd("a.csv", "text|label\ngood, really|pos\nbad, so bad|neg\n", COMMAS),
    "a delimiter nobody guesses": Odd(
        "a.csv", "text^label\ngood, really^pos\nbad, so bad^neg\n", COMMAS, form={"delimiter": "^"}
    ),
    "a delimiter by its name": Odd(
        "a.csv", "text\tlabel\ngood film\tpos\n", AB[:1], form={"delimiter": "tab"}
    ),
    "a delimiter that is no letter of ASCII": Odd(
        "a.csv", "text¦label\ngood film¦pos\nbad film¦neg\n", AB, form={"delimiter": "¦"}
    ),
    "blanks after the commas": Odd("a.csv", "text, label\ngood film, pos\nbad film, neg\n", AB),
    "decimal commas beside semicolons": Odd(
        "a.csv",
        "text;label;price\ngood film;pos;1,50\nbad film;neg;2,70\n",
        AB,
        "columns not used: 'price'",
    ),
    # --- quotes
    "a blank before the quote, a comma inside": Odd(
        "a.csv", 'label, "text"\npos, "good, really"\nneg, "bad, so bad"\n', COMMAS
    ),
    "a blank before the quote, no comma inside": Odd(
        "a.csv", 'label,text\npos, "good film"\nneg, "bad film"\n', AB
    ),
    "a blank before the quote, no comma inside with semicolons": Odd(
        "a.csv", 'label;text\npos; "good; film"\nneg; "bad film"\n', [("good; film", "pos"), AB[1]]
    ),
    "blanks on both sides of the quotes": Odd(
        "a.csv", 'text , label\n "good, really" , "pos" \n "bad, so bad" , "neg" \n', COMMAS
    ),
    "the first field begins with a blank and a quote": Odd(
        "a.csv", 'text,label\n "good, really",pos\n "bad, so bad",neg\n', COMMAS
    ),
    "backslash and quote": Odd(
        "a.csv",
        'text,label\n"he said \\"no\\" twice",pos\n"fine",neg\n',
        [('he said "no" twice', "pos"), ("fine", "neg")],
    ),
    "backslash and quote beside commas": Odd(
        "a.csv",
        'text,label\n"he said \\"no\\", twice",pos\n"a, b",neg\n',
        [('he said "no", twice', "pos"), ("a, b", "neg")],
    ),
    "two backslashes at the end": Odd(
        "a.csv",
        'text,label\n"a \\"b\\"",pos\n"c:\\\\",neg\n',
        [('a "b"', "pos"), ("c:\\", "neg")],
    ),
    "other backslashes stay": Odd(
        "a.csv", 'text,label\n"c:\\new \\"x\\"",pos\n', [('c:\\new "x"', "pos")]
    ),
    "a backslash at the end of a plain table": Odd(
        "a.csv", 'text,label\n"c:\\",pos\n"b",neg\n', [("c:\\", "pos"), ("b", "neg")]
    ),
    "backslash and quote, semicolons": Odd(
        "a.csv",
        'text;label\n"he said \\"no\\"; twice";pos\n"a";neg\n',
        [('he said "no"; twice', "pos"), ("a", "neg")],
    ),
    "quotes doubled": Odd("a.csv", 'text,label\n"he said ""no""",pos\n', [('he said "no"', "pos")]),
    "quotes inside a plain field": Odd(
        "a.csv",
        'text,label\na 5" screen,pos\nso "good" it is,neg\n',
        [('a 5" screen', "pos"), ('so "good" it is', "neg")],
    ),
    "single quotes are letters": Odd(
        "a.csv", "text,label\n'good film',pos\n", [("'good film'", "pos")]
    ),
    "line ends inside quotes": Odd(
        "a.csv",
        'text,label\n"good\nfilm",pos\n"bad\r\nfilm",neg\n',
        [("good\nfilm", "pos"), ("bad\r\nfilm", "neg")],
    ),
    "a quote that is never closed": Odd(
        "a.csv",
        'text,label\n"good film,pos\nbad film,neg\n',
        None,
        "line 2: a quotation mark opens here",
    ),
    "a quote that is never closed, skipped": Odd(
        "a.csv",
        'text,label\n"good film,pos\nbad film,neg\n',
        AB[1:],
        "1 row that cannot be read left out (line 2)",
        SKIP,
    ),
    "text after a closing quote": Odd(
        "a.csv", 'text,label\n"good" film,pos\nbad film,neg\n', None, "line 2: a quotation mark"
    ),
    "an empty field in quotes": Odd("a.csv", 'text,label\n"",pos\nbad film,neg\n', AB[1:], "empty"),
    # --- rows of odd lengths
    "a delimiter at the end of each row": Odd(
        "a.csv",
        "text,label\ngood film,pos,\nbad film,neg,\n",
        AB,
        "2 rows end with more delimiters than the header; the empty fields are dropped",
    ),
    "a delimiter at the end of each row with semicolons, one row": Odd(
        "a.csv", "text;label\ngood film;pos;;\nbad film;neg\n", AB, "1 row ends with more"
    ),
    "a delimiter at the end of each row with tabs": Odd(
        "a.tsv", "text\tlabel\ngood film\tpos\t\nbad film\tneg\t\n", AB
    ),
    "a delimiter at the end of each row in the header, too": Odd(
        "a.csv", "text,label,\ngood film,pos,\nbad film,neg,\n", AB
    ),
    "a comma too many": Odd(
        "a.csv",
        "text,label\nwell, good,pos\nbad film,neg\nfair film,neg\n",
        None,
        "line 2 has 3 fields where the first line has 2; put a text with a comma",
    ),
    "a comma too many, skipped": Odd(
        "a.csv",
        "text,label\nwell, good,pos\nbad film,neg\nfair film,neg\n",
        [AB[1], ("fair film", "neg")],
        "1 row that cannot be read left out (line 2)",
        SKIP,
    ),
    "a row too short": Odd(
        "a.csv", "text,label\ngood film,pos\nbad film\n", None, "line 3: label column 'label' is"
    ),
    "a row too short, unlabelled dropped": Odd(
        "a.csv", "text,label\ngood film,pos\nbad film\n", AB[:1], "1 unlabelled text skipped", DROP
    ),
    "rows of commas alone, as Excel leaves them": Odd(
        "a.csv", "text,label\ngood film,pos\n,\n,\nbad film,neg\n,\n", AB
    ),
    # --- bytes that do not belong
    "one NUL": Odd(
        "a.csv",
        "text,label\n" + "good film,pos\n" * 99 + "a\0b,pos\nbad film,neg\n",
        None,
        "line 101 has a NUL byte, which no text has; delete it; --bad-rows skip leaves",
    ),
    "one NUL, skipped": Odd(
        "a.csv",
        "text,label\ngood film,pos\na\0b,pos\nbad film,neg\n",
        AB,
        "1 row that cannot be read left out (line 3)",
        SKIP,
    ),
    "one NUL among tabs": Odd("a.tsv", "good film\tpos\na\0\tpos\n", None, "line 2 has a NUL byte"),
    "one NUL after label and blank": Odd(
        "a.txt", "pos good film\nneg bad film\npos a\0b\nneg no\n", None, "line 3 has a NUL byte"
    ),
    "one NUL in JSON": Odd(
        "a.jsonl", '{"text": "a\0", "label": 1}\n', None, "line 1 is not valid JSON"
    ),
    "one NUL in quotes": Odd(
        "a.csv", 'text,label\n"a\0b",pos\n"bad film",neg\n', AB[1:], "line 2", SKIP
    ),
    "a byte-order mark": Odd("a.csv", "\ufefftext,label\ngood film,pos\n", AB[:1]),
    "a byte-order mark before quotes": Odd(
        "a.csv", '\ufeff"text","label"\n"good film","pos"\n', AB[:1]
    ),
    "returns alone, as old Macs wrote": Odd(
        "a.csv", "text,label\rgood film,pos\rbad film,neg\r", AB
    ),
    "line ends of both kinds": Odd("a.csv", "text,label\r\ngood film,pos\nbad film,neg\r\n", AB),
    "no line end at the end": Odd("a.csv", "text,label\ngood film,pos\nbad film,neg", AB),
    "Ctrl-Z at the end": Odd("a.csv", "text,label\ngood film,pos\n\x1a", AB[:1]),
    "two byte-order marks": Odd(
        "a.csv", "\ufeff\ufefftext,label\ngood film,pos\nbad film,neg\n", AB
    ),
    "bare returns, with line ends of the other kind in quotes": Odd(
        "a.csv", 'text,label\r"a\nb",pos\rc,neg\r', [("a\nb", "pos"), ("c", "neg")]
    ),
    "a bare return in quotes": Odd(
        "a.csv", 'text,label\n"a\rb",pos\nc,neg\n', [("a\rb", "pos"), ("c", "neg")]
    ),
    # --- headers
    "v1 and v2, as of a well-known set of messages, by number": Odd(
        "a.csv",
        "v1,v2,,,\n" + "".join(f"{label},{text},,,\n" for text, label in MESSAGES),
        MESSAGES,
        "the first row is taken as the header: 'v1', 'v2'",
        columns={"text": "2", "label": "1"},
    ),
    "the same without its header": Odd(
        "a.csv",
        "".join(f"{label},{text},,,\n" for text, label in MESSAGES),
        MESSAGES,
        "no header found",
        columns={"text": "2", "label": "1"},
    ),
    "a header of which one name is known and the label is given by number": Odd(
        "a.csv",
        "text,Stimmung\ngood film,pos\nbad film,neg\nfine,pos\n",
        [*AB, ("fine", "pos")],
        "the first row is taken as the header: 'text', 'Stimmung'",
        columns={"label": "2"},
    ),
    "columns without names, as pandas counts them": Odd(
        "a.csv",
        "0,1\ngood film,pos\nbad film,neg\n",
        AB,
        "the first row is taken as the header: '0', '1'",
        columns=NUMBERED,
    ),
    "the same with an index, columns by name": Odd(
        "a.csv", ",0,1\n0,good film,pos\n1,bad film,neg\n", AB, columns={"text": "0", "label": "1"}
    ),
    "numbers of columns that are called by other numbers": Odd(
        "a.csv",
        "id,1,2\n7,good film,pos\n8,bad film,neg\n",
        AB,
        "--text 2 is read as the number of column '1', though column 3 is called '2'",
        columns={"text": "2", "label": "3"},
    ),
    "two columns of one name": Odd(
        "a.csv",
        "text,label,text\ngood film,pos,x\nbad film,neg,y\n",
        AB,
        "2 columns are called 'text'; column 1 is read as the text (--text 3 reads another)",
    ),
    "a title over all columns of a sheet": Odd(
        "a.csv",
        "Survey 2024,,\n,,\ntext,label,\ngood film,pos,\nbad film,neg,\n",
        AB,
        "2 lines above the header left out: Survey 2024",
    ),
    "comments with commas above the header": Odd(
        "a.csv",
        "# made by x, v1\n# date: y\ntext,label\ngood film,pos\nbad film,neg\n",
        AB,
        "2 lines above the header left out: # made by x",
    ),
    "sep=; saved again with more columns": Odd(
        "a.csv", "sep=;;\ntext;label\ngood film;pos\nbad film;neg\n", AB
    ),
    "sep = ; with blanks": Odd("a.csv", "sep = ;\ntext;label\ngood film;pos\nbad film;neg\n", AB),
    "single words after numbers that come again": Odd(
        "a.tsv",
        "1\tgood\n0\tbad\n1\tfine\n",
        [("good", "1"), ("bad", "0"), ("fine", "1")],
        "column 2 is read as the text, column 1 is read as the label",
    ),
    # --- other programs
    "backslashes before quotes, with tabs": Odd(
        "a.tsv",
        'id\tsentiment\treview\n"1_8"\t1\t"With \\"The Wiz\\" x"\n"2_9"\t0\t"\\"War\\" by y"\n',
        [('With "The Wiz" x', "1"), ('"War" by y', "0")],
    ),
    "a blank before quotes, with tabs": Odd(
        "a.tsv",
        'label\t "text"\npos\t "good, really"\nneg\t "bad, so bad"\n',
        COMMAS,
    ),
    "a backslash before a comma": Odd(
        "a.csv",
        "text,label\ngood\\, really,pos\nbad,neg\n",
        None,
        "as a backslash before a comma does not keep it in a field",
    ),
    "\\N of a database for a missing label": Odd(
        "a.tsv", "text\tlabel\ngood film\tpos\nbad film\t\\N\n", None, "line 3: label column"
    ),
    "\\N of a database for a missing text": Odd(
        "a.tsv",
        "text\tlabel\ngood film\tpos\nbad film\tneg\n\\N\tpos\n",
        AB,
        "1 empty text skipped",
    ),
    "R's write.table": Odd(
        "a.txt",
        '"text" "label"\n"1" "good film" "pos"\n"2" "bad film" "neg"\n',
        AB,
    ),
    "R's write.table, said to be parted by blanks": Odd(
        "a.txt",
        '"text" "label"\n"good film" "pos"\n"a \\"bad\\" one" 1\n',
        [("good film", "pos"), ('a "bad" one', "1")],
        form={"delimiter": "space"},
    ),
    "R's numbers of rows, shuffled": Odd(
        "a.tsv",
        '"text"\t"label"\n"17"\t"good film"\t"pos"\n"3"\t"bad film"\t"neg"\n',
        AB,
    ),
    "a table of Markdown": Odd(
        "a.md",
        "| text | label |\n|:---|---|\n| good film | pos |\n| bad film | neg |\n",
        AB,
        "a table is drawn with lines; read without them",
    ),
    "a table of Markdown without a label": Odd(
        "a.md", "| text | label |\n|---|---|\n| good film | pos |\n| x | |\n", None, "line 4"
    ),
    "psql's table": Odd(
        "a.txt",
        " text      | label\n-----------+-------\n good film | pos\n bad film  | neg\n(2 rows)\n\n",
        AB,
    ),
    "mysql's table": Odd(
        "a.txt",
        "+---+---+\n| text | label |\n+---+---+\n| good film | pos |\n| bad film | neg |\n+---+---+\n"
        "2 rows in set (0.00 sec)\n",
        AB,
    ),
    "texts of dashes": Odd(
        "a.tsv", "--\tx\n---\ty\nb\tx\n", [("--", "x"), ("---", "y"), ("b", "x")]
    ),
    "fastText's labels in a table": Odd(
        "a.csv",
        '__label__a,"good, really"\n__label__b,"bad, so bad"\n__label__a,"good, so good"\n',
        [*((text, f"__label__{x}") for (text, _), x in zip(COMMAS, "ab", strict=True)), SO_GOOD],
        "no header found",
    ),
    # --- JSON
    "JSON lines called CSV": Odd(
        "a.csv",
        '{"text": "good film", "label": "pos"}\n{"text": "bad film", "label": "neg"}\n',
        AB,
    ),
    "a JSON array called TSV": Odd(
        "a.tsv",
        '[{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]',
        AB,
    ),
    "texts that are JSON": Odd(
        "a.txt",
        '{"a": 1}\tbad\n{"b": 2}\tfine\n{"a": 3}\tbad\n',
        [('{"a": 1}', "bad"), ('{"b": 2}', "fine"), ('{"a": 3}', "bad")],
    ),
    "a table called JSON": Odd(
        "a.json", "text,label\ngood film,pos\n", None, "name a table after what it is, as .csv"
    ),
    "a table called JSON lines": Odd(
        "a.jsonl", "text,label\ngood film,pos\n", None, "name a table after what it is, as .csv"
    ),
    "pandas' JSON, orient split": Odd(
        "a.json",
        '{"columns": ["text", "label"], "index": [0, 1],'
        ' "data": [["good film", "pos"], ["bad film", "neg"]]}',
        AB,
    ),
    "pandas' JSON, orient index": Odd(
        "a.json",
        '{"0": {"text": "good film", "label": "pos"}, "1": {"text": "bad film", "label": "neg"}}',
        AB,
    ),
    "a NUL in JSON": Odd(
        "a.jsonl",
        '{"text": "x\\u0000y", "label": "pos"}\n{"text": "bad film", "label": "neg"}\n',
        None,
        "line 1 has a NUL byte",
    ),
    "a NUL in JSON, skipped": Odd(
        "a.jsonl",
        '{"text": "x\\u0000y", "label": "pos"}\n{"text": "bad film", "label": "neg"}\n',
        AB[1:],
        "1 row that cannot be read left out (line 1)",
        SKIP,
    ),
    # --- encodings
    "iso-2022-jp": Odd(
        "a.tsv",
        "とても良い映画\tpos\n品質が悪い\tneg\n本は退屈\tneg\n".encode("iso2022_jp"),
        [("とても良い映画", "pos"), ("品質が悪い", "neg"), ("本は退屈", "neg")],
        "read as iso2022_jp",
    ),
    "iso-8859-6": Odd(
        "a.csv",
        "text,label\nفيلم رائع أنصح به الجميع,pos\nجودة سيئة لا تشتروه,neg\n".encode("iso-8859-6"),
        [("فيلم رائع أنصح به الجميع", "pos"), ("جودة سيئة لا تشتروه", "neg")],
        "read as iso-8859-6",
    ),
    "quotation marks and dashes of Windows alone": Odd(
        "a.tsv",
        "It’s a “good” film – really\tpos\nDon’t buy it… bad\tneg\n".encode("cp1252"),
        [("It’s a “good” film – really", "pos"), ("Don’t buy it… bad", "neg")],
        "read as cp1252",
    ),
    "signs of UTF-8 cut in the middle": Odd(
        "a.csv",
        b"text,label\n" + "Привет мир".encode()[:-1] + b",a\n" + "Пока,b\n".encode(),
        [("Привет ми\ufffd", "a"), ("Пока", "b")],
        "1 line has broken UTF-8 (line 2); the broken signs are read as U+FFFD",
    ),
    "one word of cp1251 in UTF-8": Odd(
        "a.csv",
        "text,label\nстрока,да\nеще строка,да\n".encode() + "плохая,нет\n".encode("cp1251"),
        [("строка", "да"), ("еще строка", "да"), ("плохая", "нет")],
        "1 line is not UTF-8; read as cp1251",
    ),
    "labels with unseen marks around them": Odd(
        "a.csv",
        "text,label\na,neg\nb,neg\u200b\nc,\ufeffneg\n",
        [("a", "neg"), ("b", "neg"), ("c", "neg")],
        "are read as one, 'neg'",
    ),
    "a delimiter of another kind": Odd(
        "a.csv", "text^label\ngood film^pos\n", None, "--delimiter says what stands between"
    ),
    "a few letters of DOS": Odd(
        "a.jsonl",
        '{"text": "Schöner Film, für alle", "label": "neg"}\n'.encode("cp850"),
        None,
        "cannot be told; name it with --encoding",
    ),
    # --- labels
    "a label composed and decomposed": Odd(
        "a.csv",
        "text,label\na,caf\u00e9\nb,cafe\u0301\n",
        [("a", "caf\u00e9"), ("b", "caf\u00e9")],
        "labels 'caf\\xe9' and 'cafe\\u0301' are read as one",
    ),
    "true and True": Odd(
        "a.csv",
        "text,label\na,true\nb,True\nc,TRUE\nd,False\n",
        [("a", "true"), ("b", "true"), ("c", "true"), ("d", "false")],
        "labels 'true' and 'True' and 'TRUE' are read as one, 'true'",
    ),
    "truth in JSON": Odd("a.jsonl", '{"text": "a", "label": true}\n', [("a", "true")]),
    "truth in a JSON document": Odd("a.json", '[{"text": "a", "label": false}]', [("a", "false")]),
    "truth in Parquet": Odd("a.parquet", parquet(text=["a"], label=[True]), [("a", "true")]),
    "1 and 1.0": Odd(
        "a.csv",
        "text,label\na,1\nb,1.0\nc,2.00\nd,1.5\n",
        [("a", "1"), ("b", "1"), ("c", "2"), ("d", "1.5")],
        "labels '1' and '1.0' are read as one",
    ),
    "1.0 in JSON": Odd("a.jsonl", '{"text": "a", "label": 1.0}\n', [("a", "1")]),
    "1.0 in Parquet": Odd("a.parquet", parquet(text=["a"], label=[1.0]), [("a", "1")]),
    "whole numbers in Parquet": Odd("a.parquet", parquet(text=["a"], label=[1]), [("a", "1")]),
    "zeros before a number stay": Odd(
        "a.csv", "text,label\na,01\nb,1\n", [("a", "01"), ("b", "1")]
    ),
    "labels as written": Odd(
        "a.csv",
        'text,label\na,"x\ty"\nb,"x\ny"\nc,N/A\n',
        [("a", "x\ty"), ("b", "x\ny"), ("c", "N/A")],
    ),
    "labels as written, JSON": Odd(
        "a.jsonl",
        '{"text": "a", "label": "x\\ty"}\n{"text": "b", "label": "x\\ny"}\n',
        [("a", "x\ty"), ("b", "x\ny")],
    ),
    "texts and labels that look like nothing": Odd(
        "a.csv",
        "text,label\nNA,null\nnull,None\nNone,NA\nnan,NaN\n",
        [("NA", "null"), ("null", "None"), ("None", "NA"), ("nan", "NaN")],
    ),
    "texts and labels that look like nothing with tabs": Odd(
        "a.tsv", "NA\tnull\nnull\tnull\n", [("NA", "null"), ("null", "null")]
    ),
    "texts and labels that look like nothing in JSON": Odd(
        "a.jsonl", '{"text": "null", "label": "NA"}', [("null", "NA")]
    ),
    "texts and labels that look like nothing in Parquet": Odd(
        "a.parquet", parquet(text=["None"], label=["NA"]), [("None", "NA")]
    ),
    "nothing in JSON": Odd(
        "a.jsonl", '{"text": "a", "label": null}', None, "line 1: label column 'label' is empty"
    ),
    "nothing in a JSON document": Odd(
        "a.json", '[{"text": "a", "label": 1}, {"text": "b", "label": null}]', None, "item 2: label"
    ),
    "nothing in Parquet": Odd(
        "a.parquet", parquet(text=["a", "b"], label=["x", None]), None, "row 2: label column"
    ),
    "nothing in Parquet, dropped": Odd(
        "a.parquet", parquet(text=["a", "b"], label=["x", None]), [("a", "x")], "1 unlabelled", DROP
    ),
    "NaN in Parquet": Odd(
        "a.parquet", parquet(text=["a", "b"], label=[1.0, float("nan")]), None, "row 2: label"
    ),
    # --- encodings
    **{
        f"{encoding} with the name of its encoding": Odd(
            "a.tsv", LINES.encode(encoding), RUSSIAN, form={"encoding": encoding}
        )
        for encoding in (
            "cp1251",
            "koi8-r",
            "cp866",
            "mac-cyrillic",
            "iso-8859-5",
            "utf-16",
            "utf-8",
        )
    },
    **{
        f"{encoding} told by its letters": Odd(
            "a.tsv", LINES.encode(encoding), RUSSIAN, f"read as {encoding}"
        )
        for encoding in ("cp1251", "koi8-r", "cp866", "mac-cyrillic", "iso-8859-5")
    },
    **{
        f"{encoding} without a mark": Odd(
            "a.tsv", LINES.encode(encoding), RUSSIAN, f"read as {encoding.upper()}"
        )
        for encoding in ("utf-16-le", "utf-16-be")
    },
    "utf-32 with a mark": Odd("a.tsv", LINES.encode("utf-32"), RUSSIAN, "read as UTF-32"),
    "cp1250, Polish": Odd(
        "a.csv",
        "text;label\nŚwietny film, źle się kończy;ładny\nOkropna pogoda dziś, dziękuję;zły\n".encode(
            "cp1250"
        ),
        [("Świetny film, źle się kończy", "ładny"), ("Okropna pogoda dziś, dziękuję", "zły")],
        "read as cp1250",
    ),
    "iso-8859-2, Polish": Odd(
        "a.csv",
        "text;label\nŚwietny film, źle się kończy;ładny\nOkropna pogoda dziś, dziękuję;zły\n".encode(
            "iso-8859-2"
        ),
        [("Świetny film, źle się kończy", "ładny"), ("Okropna pogoda dziś, dziękuję", "zły")],
        "read as iso-8859-2",
    ),
    "iso-8859-2, Czech": Odd(
        "a.csv",
        "text,label\nSkvělý film a příběh,dobrý\nTento obchod je špatný,špatný\n".encode(
            "iso-8859-2"
        ),
        [("Skvělý film a příběh", "dobrý"), ("Tento obchod je špatný", "špatný")],
        "read as iso-8859-2",
    ),
    "GBK": Odd(
        "a.csv",
        "text,label\n非常好的电影，推荐给大家,好\n今天天气很糟糕,坏\n".encode("gbk"),
        [("非常好的电影，推荐给大家", "好"), ("今天天气很糟糕", "坏")],
        "read as gb18030",
    ),
    "Shift JIS": Odd(
        "a.csv",
        "text,label\nとても良い映画です,良い\n今日はひどい天気です,悪い\n".encode("cp932"),
        [("とても良い映画です", "良い"), ("今日はひどい天気です", "悪い")],
        "read as cp932",
    ),
    "Windows-1252": Odd(
        "a.csv",
        "text,label\n“Très bon” – à voir,oui\nLe café était froid,non\n".encode("cp1252"),
        [("“Très bon” – à voir", "oui"), ("Le café était froid", "non")],
        "read as cp1252",
    ),
    "UTF-8 with one line of Latin-1": Odd(
        "a.csv",
        "text,label\nпривет,x\n".encode() + "café,y\n".encode("latin-1"),
        [("привет", "x"), ("café", "y")],
        "1 line is not UTF-8; read as latin-1",
    ),
    "an encoding that is not that": Odd(
        "a.csv",
        "text,label\nпривет,x\n".encode("cp1251"),
        None,
        "line 2 is not utf-8 (byte 0xef); give another --encoding",
        {"encoding": "utf-8"},
    ),
    "an encoding that there is not": Odd(
        "a.csv",
        "text,label\na,x\n",
        None,
        "no encoding 'cp125l'; did you mean",
        {"encoding": "cp125l"},
    ),
    "bytes of no encoding": Odd(
        "a.csv",
        b"text,label\n" + bytes(range(0x80, 0x100)) * 2 + b",x\n",
        None,
        "is not UTF-8 and cannot be told; name it with --encoding",
    ),
    # --- several columns, no header: the Russian tweets
    "the Russian tweets": Odd(
        "positive.csv",
        '"1";"1386325927";"first";"Хороший; день";"1";"0"\n"2";"1386325928";"b";"Ура ""всё""";"1";"0"\n',
        [("Хороший; день", "1"), ('Ура "всё"', "1")],
        form=NO_HEADER,
        columns=FOUR_FIVE,
    ),
    "the Russian tweets, without quotes": Odd(
        "negative.csv",
        "1;1386325927;a;Плохой день;-1;0\n2;1386325928;b;Ужас, просто;-1;0\n",
        [("Плохой день", "-1"), ("Ужас, просто", "-1")],
        columns=FOUR_FIVE,
    ),
    "a number beyond the columns": Odd(
        "a.csv",
        "1;2;a;Плохой день\n",
        None,
        "has 4 columns, so --label 5 is none of them",
        NO_HEADER,
        FOUR_FIVE,
    ),
    # --- other formats
    "label, blank, text": Odd(
        "a.txt",
        "pos good film\nneg bad film\npos good\nneg bad\n",
        [*AB, ("good", "pos"), ("bad", "neg")],
        "read as lines of a label, a blank and a text",
    ),
    "numbers, blank, text with commas": Odd(
        "a.txt",
        "0 good, really\n1 bad, so bad\n0 fair\n1 awful, truly, so\n",
        [("good, really", "0"), ("bad, so bad", "1"), ("fair", "0"), ("awful, truly, so", "1")],
    ),
    "coarse:fine labels, blank, text": Odd(
        "a.label",
        "DESC:def What is it ?\nHUM:ind Who said so ?\nDESC:def What is that ?\n"
        "HUM:ind Who was it ?\n",
        [
            ("What is it ?", "DESC:def"),
            ("Who said so ?", "HUM:ind"),
            ("What is that ?", "DESC:def"),
            ("Who was it ?", "HUM:ind"),
        ],
    ),
    "label, blank, text, said so": Odd(
        "a.txt", "pos good film\nneg bad film\n", AB, form={"delimiter": "space"}
    ),
    "prose": Odd(
        "a.txt",
        "I like it\nIt is good\nThe end came\nWe slept\n",
        None,
        "write a text, a tab and its label on each line",
    ),
    "fastText": Odd("a.txt", "__label__pos good film\n__label__neg bad film\n", AB, "fastText"),
    "fastText with commas and tabs": Odd(
        "a.train", "__label__pos\tgood, really\n__label__neg bad, so bad\n", COMMAS
    ),
    "fastText with two labels": Odd(
        "a.txt",
        "__label__pos good film\n__label__a __label__b bad\n",
        None,
        "line 2 has several labels",
    ),
    "a JSON array": Odd("a.json", json.dumps([{"text": t, "label": n} for t, n in AB]), AB),
    "a JSON array over many lines": Odd(
        "a.json", json.dumps([{"text": t, "label": n} for t, n in AB], indent=2), AB
    ),
    "a JSON array called txt": Odd(
        "a.txt", json.dumps([{"text": t, "label": n} for t, n in AB]), AB
    ),
    "a JSON array called jsonl": Odd(
        "a.jsonl", json.dumps([{"text": t, "label": n} for t, n in AB]), AB
    ),
    "a JSON array within an object": Odd(
        "a.json", json.dumps({"version": 1, "data": [{"text": t, "label": n} for t, n in AB]}), AB
    ),
    "JSON columns as pandas writes them": Odd(
        "a.json",
        pl_columns := json.dumps(
            {"text": {"0": AB[0][0], "1": AB[1][0]}, "label": {"0": "pos", "1": "neg"}}
        ),
        AB,
    ),
    "JSON columns as lists": Odd(
        "a.json", json.dumps({"text": [t for t, _ in AB], "label": [n for _, n in AB]}), AB
    ),
    "JSON lines called json": Odd(
        "a.json", "".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in AB), AB
    ),
    "a JSON array that ends early": Odd(
        "a.json", '[{"text": "a", "label": 1},', None, "is not valid JSON (line 1 column"
    ),
    "an item that is no object": Odd(
        "a.json", '[{"text": "a", "label": 1}, 3]', None, "item 2 is not a JSON object"
    ),
    "an item that is no object, skipped": Odd(
        "a.json", '[{"text": "a", "label": 1}, 3]', [("a", "1")], "left out (line 2)", SKIP
    ),
    "a broken line among JSON lines": Odd(
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": \n',
        None,
        "line 2 is not valid JSON",
    ),
    "a broken line among JSON lines, skipped": Odd(
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": \n',
        [("a", "1")],
        "1 row that cannot be read left out (line 2)",
        SKIP,
    ),
    "an empty JSON array": Odd("a.json", "[]", None, "is an empty JSON array"),
    "fields in another order": Odd(
        "a.jsonl",
        '{"label": "pos", "text": "good film"}\n{"text": "bad film", "label": "neg"}\n',
        AB,
    ),
    "a list of one label in JSON": Odd(
        "a.jsonl", '{"text": "good film", "label": ["pos"]}\n', AB[:1]
    ),
    "a list of two labels in JSON": Odd(
        "a.jsonl", '{"text": "a", "label": ["x", "y"]}\n', None, "field 'label' is a list"
    ),
    "UTF-8 said to be UTF-16": Odd(
        "a.csv",
        "text,label\nпривет,x\n",
        None,
        "is not utf-16 but UTF-8; leave --encoding out",
        {"encoding": "utf-16"},
    ),
    "a text that begins with a bracket": Odd(
        "a.tsv",
        "[deleted]\tneg\n{sic}\tneg\nfine\tpos\n",
        [("[deleted]", "neg"), ("{sic}", "neg"), ("fine", "pos")],
    ),
    "gzip": Odd("a.csv.gz", gzip.compress(b"text,label\ngood film,pos\n"), AB[:1]),
    "gzip of koi8-r": Odd("a.tsv.gz", gzip.compress(LINES.encode("koi8-r")), RUSSIAN, "koi8-r"),
    "gzip in two members": Odd(
        "a.csv.gz",
        gzip.compress(b"text,label\ngood film,pos\n") + gzip.compress(b"bad film,neg\n"),
        AB,
    ),
    "a pickle": Odd("a.pkl", b"\x80\x04\x95abc", None, "is a Python pickle, which is not opened"),
    "a web page": Odd("a.csv", "<!DOCTYPE html><html></html>", None, "is a web page"),
}


def write(folder: Path, odd: Odd) -> Path:
    path = folder / odd.file
    path.write_bytes(odd.content.encode() if isinstance(odd.content, str) else odd.content)
    return path


@pytest.mark.parametrize("name", ODD)
def test_odd_file(tmp_path, name):
    odd = ODD[name]
    path = write(tmp_path, odd)

    def read():
        return read_examples(path, form=Form(**odd.form), **odd.columns)

    if odd.rows is None:
        with pytest.raises(ElmanError) as caught:
            read()
        message = str(caught.value)
        assert odd.said in message
        assert "\n" not in message
        assert caught.value.exit_code == 2
        return
    examples = read()
    assert list(zip(examples.texts, examples.labels, strict=True)) == odd.rows
    assert odd.said in " | ".join(examples.notes)


def test_there_are_enough():
    assert len(ODD) >= 120


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if odd.rows])
def test_what_is_read_to_train_is_read_to_predict(tmp_path, name):
    odd = ODD[name]
    if odd.form.get("delimiter") == "space" or "label, blank" in name or "numbers, blank" in name:
        return  # a first word may be part of a text: it is one unless it is said to be none
    if odd.form.get("drop_unlabelled") or "coarse" in name or name == "an empty field in quotes":
        return  # rows that are dropped in training are answered
    path = write(tmp_path, odd)
    given = {k: v for k, v in odd.columns.items() if k == "text"}
    inputs = read_inputs(path, form=Form(**odd.form), column=given.get("text"))
    assert [text for text in inputs.inputs if text] == [text for text, _ in odd.rows]
    assert all(len(cells) == len(inputs.inputs) for cells in inputs.table.values())


# Folders


def test_a_folder_of_texts_a_class(tmp_path):
    for label, file, text in (
        ("pos", "1.txt", "good\nfilm"),
        ("pos", "2.txt", "fine"),
        ("neg", "1.txt", "bad"),
        ("été", "1.txt", "chaud"),
    ):
        folder = tmp_path / unicodedata.normalize("NFD", label)
        folder.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    (tmp_path / "README.txt").write_text("not a class")
    examples = read_examples(tmp_path)
    assert sorted(zip(examples.texts, examples.labels, strict=True)) == [
        ("bad", "neg"),
        ("chaud", "été"),
        ("fine", "pos"),
        ("good\nfilm", "pos"),
    ]
    assert "files beside the folders are not read: README.txt" in examples.notes


def test_a_folder_of_texts_in_old_encodings(tmp_path):
    for label, text in (("pos", "Отличный фильм, очень понравился"), ("neg", "Скучно, ушли рано")):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.txt").write_bytes(text.encode("koi8-r"))
    examples = read_examples(tmp_path)
    assert examples.texts == ["Скучно, ушли рано", "Отличный фильм, очень понравился"]
    assert examples.notes == ("2 files: not UTF-8; read as koi8-r",)


def test_a_folder_of_tables_says_how_they_are_given(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    with pytest.raises(DataError, match=r"tables are given by name: .*\*\.csv"):
        read_examples(tmp_path)


def test_a_folder_of_texts_without_suffixes(tmp_path):
    for label, file in (("alt.atheism", "51060"), ("sci.med", "59001")):
        (tmp_path / label).mkdir()
        (tmp_path / label / file).write_text(f"about {label}")
    examples = read_examples(tmp_path)
    assert examples.labels == ["alt.atheism", "sci.med"]
    assert examples.texts == ["about alt.atheism", "about sci.med"]


@pytest.mark.parametrize(
    "files", [("train.txt", "test.txt"), ("train/pos/1.txt", "test/neg/1.txt")]
)
def test_parts_of_a_data_set_are_no_classes(tmp_path, files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("a text\n")
    with pytest.raises(DataError, match=r"which are no classes; give .*train.*with --valid and"):
        read_examples(tmp_path)


@pytest.mark.parametrize("files", [("pos.txt", "neg.txt"), ("pos/1.txt", "neg/1.txt")])
def test_a_nul_in_a_folder(tmp_path, files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("a text\n")
    (tmp_path / files[0]).write_text("a\0b\n")
    with pytest.raises(DataError, match=r"line 1 has a NUL byte.*--bad-rows skip"):
        read_examples(tmp_path)
    examples = read_examples(tmp_path, form=Form(bad_rows="skip"))
    assert examples.labels == ["neg"]
    assert "left out" in " | ".join(examples.notes)


def test_an_unknown_header_is_not_answered(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("v1,v2\n" + "".join(f"{label},{text}\n" for text, label in MESSAGES))
    with pytest.raises(DataError, match="no text column among the columns 'v1', 'v2'"):
        read_inputs(path)


def test_a_nul_in_lines_to_predict(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ntw\0o\nthree\n")
    with pytest.raises(DataError, match="line 2 has a NUL byte"):
        read_inputs(path)
    inputs = read_inputs(path, form=Form(bad_rows="skip"))
    assert inputs.inputs == ["one", "three"]
    assert inputs.notes == ("1 row that cannot be read left out (line 2)",)
