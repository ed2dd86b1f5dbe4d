// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Path, Sibling} from "../../src/Types.sol";

/// @title Builds Merkle-sum trees by the definition of docs/protocol.md §4 (recursive), independent of SumTree's walk.
library Trees {
    struct Leaf {
        bytes32 hash;
        uint128 sum;
    }

    function root(Leaf[] memory leaves) internal pure returns (bytes32, uint128) {
        if (leaves.length == 0) return (0, 0);
        Leaf memory top = _root(leaves, 0, leaves.length);
        return (top.hash, top.sum);
    }

    function path(Leaf[] memory leaves, uint256 index) internal pure returns (Path memory p) {
        p.index = uint32(index);
        p.siblings = new Sibling[](_depth(leaves.length, index));
        uint256 at = p.siblings.length;
        (uint256 from, uint256 n) = (0, leaves.length);
        while (n > 1) {
            uint256 left = _leftSize(n);
            Leaf memory sibling;
            if (index - from < left) {
                sibling = _root(leaves, from + left, n - left);
                n = left;
            } else {
                sibling = _root(leaves, from, left);
                (from, n) = (from + left, n - left);
            }
            p.siblings[--at] = Sibling(sibling.hash, sibling.sum);
        }
    }

    function _leftSize(uint256 n) private pure returns (uint256 size) {
        size = 1;
        while (size * 2 < n) size *= 2;
    }

    function _depth(uint256 n, uint256 index) private pure returns (uint256 depth) {
        for (; n > 1; depth++) {
            uint256 left = _leftSize(n);
            if (index < left) n = left;
            else (index, n) = (index - left, n - left);
        }
    }

    function _root(Leaf[] memory leaves, uint256 from, uint256 n) private pure returns (Leaf memory) {
        if (n == 1) return leaves[from];
        uint256 left = _leftSize(n);
        Leaf memory l = _root(leaves, from, left);
        Leaf memory r = _root(leaves, from + left, n - left);
        return Leaf(keccak256(abi.encodePacked(uint8(3), l.hash, l.sum, r.hash, r.sum)), l.sum + r.sum);
    }
}
