"""Corrections of tracks: an append-only log beside the track file, which itself is never changed.

operations  what can be done to tracks, and its form in the log
times       frames and times of a video, each from the other
log         the log on disk: appended, checked, undone, redone
rows        the rows as numpy columns, and the ids under which parts of tracks are shown
actions     what each operation does to the rows
gaps        where a track may be interpolated, and what that gives
replay      a track file and the operations in effect to the corrected track file
session     a track file that is being edited, as the commands and the review page do it
reading     a track file as it is after its edits
tracks      which tracks there are
diff        in which frames two track files differ
imports     the operations that make one track file into another
commands    the commands that correct tracks

Imports ``configs`` and the rest of ``trackio`` only.
"""
