"""Rows packed to the front before a model without a cache runs them."""

import torch

from headway.export.decoder_recompute import packed_places


def test_tokens_come_first_in_their_order():
    mask = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 0]])
    ids = torch.tensor([[9, 1, 2, 9, 3], [1, 2, 3, 4, 5], [9, 9, 9, 7, 9]])
    packed = torch.zeros_like(ids).scatter(1, packed_places(mask), ids)
    assert packed.tolist() == [[1, 2, 3, 9, 9], [1, 2, 3, 4, 5], [7, 9, 9, 9, 9]]


def test_places_are_a_permutation():
    mask = torch.randint(2, (6, 11), generator=torch.Generator().manual_seed(0))
    assert packed_places(mask).sort(dim=1).values.tolist() == [list(range(11))] * 6
