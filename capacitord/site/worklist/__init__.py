"""The worklist of the site: fetched, kept, corrected and served."""
