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
* Whatever stays is searched for the patient's names, numbers, birth date and UIDs; short names as whole words.
* A value of more than 1 MiB is searched if it is numbers; one of unknown content holds the image.
* Pixels are never looked at: an image that may have writing in them is held (`risk.py`).
* What lies beside them is not let through (`pixels.py`): comments and segments of applications in JPEG, JPEG-LS and
  JPEG 2000 are cut out, and so is what stands behind a frame; pixels stay as they are to the bit. Behind native pixels,
  in RLE, in a second pixel data element and in other compression (video, JPEG XL), what cannot be told holds the image.
* Icons go, and so does all else that is pixel data within a sequence.
"""
