"""The section of faces: each as it was and as it is, under one slider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidfacedeblur.console import counted
from vidfacedeblur.report.pictures import FaceShots, Shot, load
from vidfacedeblur.report.text import clock, esc

_EXPLAINED = (
    "Left of the line is the picture as it was, right of it as it is now."
    " Drag the line, or move it with the arrow keys."
)

_ESTIMATE = (
    " <strong>A deblurred face is an estimate</strong> by a network that has learned from other"
    " people's faces: however sharp it looks, it may be wrong in detail. Who it is must not be"
    " judged without the picture before."
)


def faces_section(folder: Path | None, *, seen: int) -> str:
    """The best pictures of each face; nothing where none were kept, a word where there are none.

    Args:
        folder: Where `BestFaces` wrote; None if no faces were looked for.
        seen: Faces found, summed over frames.
    """
    if folder is None or not seen:
        return ""
    faces, found = load(folder)
    if not faces:
        return _section("<p class='empty'>No face was seen for long enough to show it.</p>")
    changed = any(shot.before for face in faces for shot in face.shots)
    said = [_EXPLAINED + _ESTIMATE] if changed else []
    if any(shot.before is None for face in faces for shot in face.shots):
        said.append("These are each face's best pictures: one that is marked unchanged was sharp.")
    if found > len(faces):
        said.append(f"The {len(faces)} best of {counted(found, 'face')} are shown.")
    lead = f"<p class='lead'>{' '.join(said)}</p>" if said else ""
    cards = "\n".join(_face(face) for face in faces)
    return _section(f"{lead}\n<div class='faces'>\n{cards}\n</div>")


def _section(content: str) -> str:
    return f"<section aria-labelledby='faces'>\n<h2 id='faces'>Faces</h2>\n{content}\n</section>"


def _face(face: FaceShots) -> str:
    about = face.shots[0].about
    label = face_label(about["track"], about.get("visit", 1))
    more = " ".join(f"{n}" for n in about.get("tracks", [])[1:])
    also = f"<p class='also'>also track {esc(more)}: the same face, hidden for a moment</p>"
    shots = "\n".join(_figure(shot, label, rank) for rank, shot in enumerate(face.shots, 1))
    return (
        f"<article class='face n{len(face.shots)}'><h3>{esc(label)}</h3>{also if more else ''}\n"
        f"<div class='shots'>{shots}</div></article>"
    )


def face_label(track: object, visit: int = 1) -> str:
    """What a track is called on the page."""
    return f"Face {track}" + (f", visit {visit}" if visit > 1 else "")


def _figure(shot: Shot, label: str, rank: int) -> str:
    what = f"{label}, picture {rank}"
    size = f"width='{shot.side}' height='{shot.side}' decoding='async'"
    caption = f"<figcaption>{_caption(shot.about)}</figcaption>"
    if shot.before is None:
        image = f"<img src='{shot.after}' alt='{esc(what)}, left as it was' {size}>"
        frame = f"<div class='picture'>{image}<span class='tag after'>unchanged</span></div>"
        return f"<figure>{frame}{caption}</figure>"
    return (
        "<figure><div class='picture compare'>"
        f"<img src='{shot.before}' alt='{esc(what)}, before' {size}>"
        f"<img class='now' src='{shot.after}' alt='{esc(what)}, after' {size}>"
        "<span class='tag before' aria-hidden='true'>before</span>"
        "<span class='tag after' aria-hidden='true'>after</span>"
        "<span class='line' aria-hidden='true'></span>"
        f"<input type='range' min='0' max='100' value='50' aria-label='{esc(what)}: before and"
        " after' aria-valuetext='50 percent before, 50 percent after'>"
        f"</div>{caption}</figure>"
    )


def _caption(about: dict[str, Any]) -> str:
    time = clock(about.get("time"))
    where = f"{time}, frame {about['frame']:,}" if time else f"frame {about['frame']:,}"
    x0, y0, x1, y1 = about["box"]
    size = f"{round(min(x1 - x0, y1 - y0))} px wide"
    before, after = about.get("sharpness"), about.get("sharpness_after")
    if before is None:
        sharp = ""
    elif after is None:
        sharp = f"<span>sharpness {before:.2f}</span>"
    else:
        sharp = f"<span>sharpness {before:.2f} → {after:.2f}</span>"
    return f"<span>{esc(where)}</span> <span>{size}</span> {sharp}"
