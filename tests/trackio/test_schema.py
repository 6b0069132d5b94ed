import pyarrow as pa
import pytest

from dft.configs.errors import TrackFormatError
from dft.trackio.schema import SCHEMA, conform, empty_table, schema_problems


def test_profile_is_exactly_the_documented_one():
    columns = [(field.name, str(field.type), field.nullable) for field in SCHEMA]
    name = "dictionary<values=string, indices=int32, ordered=0>"
    assert columns == [
        ("frame_index", "int32", False),
        ("pts", "int64", False),
        ("track_id", "int32", False),
        ("person", name, True),
        ("side", name, True),
        ("x1", "float", False),
        ("y1", "float", False),
        ("x2", "float", False),
        ("y2", "float", False),
        ("score", "float", False),
        ("landmarks", "fixed_size_list<item: float>[10]", True),
        ("origin", name, False),
        ("shot", "int32", False),
    ]


def test_empty_table_is_of_the_profile():
    assert empty_table().num_rows == 0
    assert conform(empty_table()).equals(empty_table())


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    ],
    ids=str,
)
def test_text_of_any_encoding_is_accepted(table, kind):
    text = table["person"].cast(pa.string())
    column = text.cast(kind) if not pa.types.is_dictionary(kind) else text.dictionary_encode().cast(kind)
    other = table.set_column(3, "person", column)
    assert schema_problems(other.schema) == []
    assert conform(other).equals(table)


def test_persons_that_are_all_null_are_accepted(table):
    nobody = table.set_column(3, "person", pa.nulls(table.num_rows))
    assert conform(nobody)["person"].null_count == table.num_rows
    assert conform(nobody).schema.equals(SCHEMA)


def test_variable_lists_of_ten_are_accepted(table):
    other = table.set_column(10, "landmarks", table["landmarks"].cast(pa.list_(pa.float32())))
    assert conform(other).equals(table)


def test_lists_of_other_lengths_are_refused(table):
    nine = pa.array([[0.0] * 9] * table.num_rows, pa.list_(pa.float32()))
    with pytest.raises(TrackFormatError, match=r"column landmarks.*fixed_size_list<float>"):
        conform(table.set_column(10, "landmarks", nine))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_missing_column_is_named_with_its_type(table, name):
    (message,) = schema_problems(table.drop_columns([name]).schema)
    assert message.startswith(f"column {name}: got no such column, expected one of type ")
    with pytest.raises(TrackFormatError, match=f"column {name}"):
        conform(table.drop_columns([name]))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_column_of_another_type_is_named_with_both(table, name):
    wrong = pa.array([b"x"] * table.num_rows)
    (message,) = schema_problems(table.set_column(SCHEMA.names.index(name), name, wrong).schema)
    assert message.startswith(f"column {name}: got type binary, expected ")


def test_a_column_twice_is_refused(table):
    (message,) = schema_problems(table.append_column("x1", table["x1"]).schema)
    assert message == "column x1: got 2 columns of that name, expected one of type float"


def test_fixed_lists_of_another_length_are_refused(table):
    eight = pa.nulls(table.num_rows, pa.list_(pa.float32(), 8))
    (message,) = schema_problems(table.set_column(10, "landmarks", eight).schema)
    assert message == "column landmarks: got type fixed_size_list<float>[8], expected fixed_size_list<float>[10]"


def test_conform_orders_columns_and_keeps_further_ones(table):
    shuffled = table.append_column("yaw", pa.array(range(table.num_rows))).select(["yaw", *reversed(SCHEMA.names)])
    assert conform(shuffled).column_names == [*SCHEMA.names, "yaw"]
    assert conform(shuffled)["yaw"].to_pylist() == list(range(table.num_rows))
