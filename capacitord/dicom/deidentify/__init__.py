"""De-identification of one image for one destination: the profile of PS3.15 Annex E and its options.

What a conformance statement has to say of it (PS3.15 §E.1.3):

* Where the table leaves a choice that depends on the kind of object (X/Z, X/D, Z/D, X/Z/D), the attribute stays with
  no value (X/Z) or with a dummy: right in every object, and as silent as nothing. X/Z/U* keeps references, to codes.
* Dates are moved back by 30 to 3650 whole days, by the same number for all of a patient; times stay.
* Descriptions keep only words of a list of safe ones (`words.txt`), and codes only those of published schemes.
  AE titles become codes.
* Reports lose texts, names and what Table E.3.4-1 lists; numbers, codes and references stay.
* Overlays stay only if they are regions of interest, and only with the option CleanGraphics.
* Private attributes stay only if Table E.3.10-1 lists them, with the VR it says, and never as bytes.
* Attributes that the table does not list stay if PS3.6 knows them, but not names, addresses, signatures, retired text
  or bytes of unknown content; dates and UIDs among them are treated like those that are listed.
* Whatever stays is searched for the patient's names, numbers, birth date and UIDs.
* Pixels are never looked at: an image that may have writing in them is held (`risk.py`).
"""
