"""The modality worklist: matched and answered to the scanner, fetched from its source, corrected in between."""
