"""Names of the published checkpoint layout and ours: one to one, except that box heads have two published names."""

HEAD, IMAGE, TEXT = "head.", "trunk.image.model.", "trunk.text.model."  # parts of our network
# Prefix of the published layout -> ours; the first that fits wins. The rest of a name is the same, except for PARTS.
PREFIXES = {
    "backbone.0.body.": IMAGE,
    "text_encoder.": TEXT,
    "resizer.fc.": "head.project_text.linear.",
    "resizer.layer_norm.": "head.project_text.norm.",
    "fusion_module.multihead_attn.": "head.fusion.attention.",
    "support_qkv.": "head.affinity.support_qkv.",
    "query_qkv.": "head.affinity.query_qkv.",
    "conv_q.": "head.affinity.point.",
    "layer_norm.": "head.affinity.norm.",
    "transformer.level_embed": "head.encoder.level_embed",
    "transformer.encoder.": "head.encoder.",
    "transformer.reference_points.": "head.decoder.queries.reference_points.",
    "transformer.decoder.query_scale.": "head.decoder.queries.query_scale.",
    "transformer.decoder.ref_point_head.": "head.decoder.queries.ref_point_head.",
    "transformer.decoder.bbox_embed.": "head.decoder.bbox_embed.",
    "transformer.decoder.": "head.decoder.",
    "query_embed.": "head.decoder.queries.query_embed.",
    "tgt_embed.": "head.decoder.queries.tgt_embed.",
    "refpoint_embed.": "head.decoder.queries.refpoint_embed.",
    "class_embed.": "head.decoder.class_embed.",
    "bbox_embed.": "head.decoder.bbox_embed.",
    "controller.": "head.dynamic.controller.",
    "pixel_decoder.mask_features.": "head.fpn.mask_features.",
    **{f"input_proj.{level}.": f"head.project.{8 * 2**level}." for level in range(4)},
    **{f"pixel_decoder.adapter_{n}.norm.": f"head.fpn.stages.{2 ** (n + 1)}.adapter.1." for n in range(1, 5)},
    **{f"pixel_decoder.adapter_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.adapter.0." for n in range(1, 5)},
    **{f"pixel_decoder.layer_{n}.norm.": f"head.fpn.stages.{2 ** (n + 1)}.layer.1." for n in range(1, 5)},
    **{f"pixel_decoder.layer_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.layer.0." for n in range(1, 5)},
    **{f"pixel_decoder.cross_attn_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.block." for n in range(1, 5)},
}
# Parts of dotted names in the head, published -> ours.
PARTS = {"linear1": "ffn.linear1", "linear2": "ffn.linear2", "Key": "key", "Value": "value"}
# Parameters of an attention whose words have another width than its queries; published, all widths are one.
_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


def our_name(published: str) -> str | None:
    """Our name of a published parameter or buffer; None for a name outside the layout."""
    for prefix, ours in PREFIXES.items():
        if published.startswith(prefix):
            rest = published.removeprefix(prefix)
            if ours.startswith(HEAD):
                rest = ".".join(PARTS.get(part, part) for part in rest.split("."))
            return ours + rest if published in published_names(ours + rest) else None
    return None


def published_names(ours: str) -> tuple[str, ...]:
    """All names that the published layout has for one of ours; none where it has no place for it."""
    if ours.endswith(_SEPARATE):
        return ()
    fitting = [(theirs, prefix) for theirs, prefix in PREFIXES.items() if ours.startswith(prefix)]
    longest = max((len(prefix) for _, prefix in fitting), default=0)
    rest = _their_parts(ours[longest:]) if ours.startswith(HEAD) else ours[longest:]
    return tuple(theirs + rest for theirs, prefix in fitting if len(prefix) == longest)


def _their_parts(name: str) -> str:
    framed = f".{name}."
    for theirs, ours in PARTS.items():
        framed = framed.replace(f".{ours}.", f".{theirs}.")
    return framed[1:-1]
