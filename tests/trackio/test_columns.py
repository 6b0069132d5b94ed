import numpy as np
import pyarrow as pa

from dft.trackio.columns import NULL, UNKNOWN, boxes_xyxy, codes, landmarks, numbers
from dft.trackio.schema import SCHEMA


def test_numbers_keep_their_dtype(table):
    assert numbers(table, "pts").dtype == np.int64
    assert numbers(table, "score").dtype == np.float32
    assert numbers(table, "frame_index")[:4].tolist() == [0, 0, 1, 1]


def test_codes(table):
    assert codes(table, "person", ("A", "B"))[4:7].tolist() == [0, 1, NULL]
    assert codes(table, "person", ("B",))[4:7].tolist() == [UNKNOWN, 0, NULL]


def test_boxes(table):
    boxes = boxes_xyxy(table)
    assert boxes.dtype == np.float32
    assert boxes[1].tolist() == [400, 50, 450, 130]


def test_landmarks_are_nan_where_null(table):
    points = landmarks(table)
    assert points.shape == (table.num_rows, 10)
    assert np.flatnonzero(np.isnan(points).all(axis=1)).tolist() == [12]
    assert points[1].tolist() == [400 + k for k in range(10)]


def test_columns_of_slices_and_chunks(table):
    pieces = pa.concat_tables([table.slice(5, 4), table.slice(12, 2)])
    assert landmarks(pieces)[0].tolist() == landmarks(table)[5].tolist()
    assert np.isnan(landmarks(pieces)[4]).all()
    assert codes(pieces, "origin", ("interpolated",)).tolist() == [UNKNOWN] * 4 + [0, UNKNOWN]


def test_columns_of_no_rows():
    empty = SCHEMA.empty_table()
    assert landmarks(empty).shape == (0, 10)
    assert boxes_xyxy(empty).shape == (0, 4)
    assert codes(empty, "side", ("left",)).shape == (0,)
