"""Killing, cutting, filling and flooding the real daemon, and counting afterwards.

What is promised, and what each run looks for in the end:

1. *Nothing acknowledged is lost.* Every image that a scanner was told Success for is in the spool with the bytes that
   the scanner sent, or was purged from it and is at the PACS with these bytes.
2. *Nothing at the PACS is unknown or damaged.* The PACS has only images that a scanner sent, with their bytes.
3. *Nothing is sent again that the ledger has an acknowledgement of.* The box may be killed, or the link cut, between
   the PACS's answer and the ledger's entry. Such an image is in doubt and is sent again. So every repetition needs a
   kill or a break of its association after the answer, and there are never more of them than the box says it leaves
   unwritten (`capacitord/site/feed.py`): a kill `UNWRITTEN` and one more for each association, a break one.
4. *What the ledger calls delivered was acknowledged*: the PACS had given its answer.
5. *The box comes back* after every fault, by itself or by what systemd would do, and delivers what is left.

What cannot be promised: DICOM without TLS has no checksum of its own, and the link's corruption happens where TCP's
does not reach. A bit that is flipped in the pixels arrives flipped, whoever sends. So a damaged image is put down to
the link if it was on its way while the link flipped a bit, and there are no more of these than flipped bits; they
are counted and shown. The same holds for an answer that says another thing when it arrives.
"""
