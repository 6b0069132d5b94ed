"""Who is who over the whole video: from pure tracklets to named persons."""
