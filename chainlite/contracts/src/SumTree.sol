// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Path, Sibling} from "./Types.sol";

/// @title Inclusion proofs of the Merkle-sum trees of docs/protocol.md §4.
/// @notice The shape is RFC 6962's: n leaves split at the largest power of two below n, so index and count alone fix on
/// which side every sibling stands, and a proof of one position can never be used for another. Each inner node commits
/// to both sums, therefore a verified leaf also fixes what all leaves before it add up to.
library SumTree {
    error IndexOutOfRange(uint32 index, uint32 count);
    error WrongPathLength();
    error NotInTree();

    /// @return before the sum of the leaves before this one
    function verify(
        bytes32 root,
        uint128 total,
        uint32 count,
        bytes32 leaf,
        uint128 leafSum,
        Path calldata path
    ) internal pure returns (uint128 before) {
        bytes32 hash;
        uint128 sum;
        (hash, sum, before) = fold(count, leaf, leafSum, path);
        if (hash != root || sum != total) revert NotInTree();
    }

    /// @notice What root and total a leaf leads to. Sums are checked: a tree whose sums leave 128 bits has no proofs.
    function fold(uint32 count, bytes32 leaf, uint128 leafSum, Path calldata path)
        internal
        pure
        returns (bytes32 hash, uint128 sum, uint128 before)
    {
        uint256 at = path.index;
        if (at >= count) revert IndexOutOfRange(path.index, count);
        uint256 last = count - 1; // the last position of the level we are on
        (hash, sum) = (leaf, leafSum);
        for (uint256 i = 0; i < path.siblings.length; i++) {
            if (last == 0) revert WrongPathLength();
            // A last node without a right sibling rises unchanged until it is a right child (RFC 9162, 2.1.3.2).
            while (at == last && at & 1 == 0) (at, last) = (at >> 1, last >> 1);
            Sibling calldata sibling = path.siblings[i];
            if (at & 1 == 1) {
                hash = node(sibling.hash, sibling.sum, hash, sum);
                before += sibling.sum;
            } else {
                hash = node(hash, sum, sibling.hash, sibling.sum);
            }
            sum += sibling.sum;
            (at, last) = (at >> 1, last >> 1);
        }
        if (last != 0) revert WrongPathLength();
    }

    function node(bytes32 left, uint128 leftSum, bytes32 right, uint128 rightSum) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0x03), left, leftSum, right, rightSum));
    }
}
