"""Stage one, frame by frame: detecting faces, joining them to tracks, choosing which are embedded."""
