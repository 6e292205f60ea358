"""One site's runtime process: wires spool and dicom together; delivery, retention, the site's answers."""
