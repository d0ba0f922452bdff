"""Photographs that belong together are one group, over however many steps."""

import odd_files

from skincnn import data, relatives

JPEG = odd_files.usable()["plain.jpg"][0]


def test_groups_connect_by_image_lesion_and_patient(put):
    table = (
        "image_id,lesion_id,patient_id\n"
        "ISIC_0000001,L1,\nISIC_0000002,L1,P1\nISIC_0000003,L2,P1\n"
        "ISIC_0000004,L4,P4\nISIC_0000005,,\n"
    )
    names = ["a/ISIC_0000001", "a/ISIC_0000002", "b/ISIC_0000003", "b/ISIC_0000004"]
    names += ["b/ISIC_0000005", "c/ISIC_0000005", "c/1", "d/1"]
    files = {f"{name}.jpg": JPEG + name.encode() for name in names}
    index = data.load(put({**files, "metadata.csv": table.encode()}), progress=False)
    pieces = {frozenset(rows["file"].str[:-4]) for _, rows in index.groupby("group")}
    assert pieces == {
        frozenset({"a/ISIC_0000001", "a/ISIC_0000002", "b/ISIC_0000003"}),
        frozenset({"b/ISIC_0000004"}),
        frozenset({"b/ISIC_0000005", "c/ISIC_0000005"}),
        frozenset({"c/1"}),  # a name that is no id says nothing about the photograph
        frozenset({"d/1"}),
    }


def test_what_is_connected_bears_the_first_ones_number():
    assert relatives.connected(7, [(5, 4), (1, 2), (6, 2)]) == [0, 1, 1, 3, 4, 4, 1]
    assert relatives.connected(6, [(4, 5), (2, 3), (3, 5), (0, 1)]) == [0, 0, 2, 2, 2, 2]
    assert relatives.connected(2, []) == [0, 1]
