// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {SumTree} from "../src/SumTree.sol";
import {Path, Sibling} from "../src/Types.sol";
import {Trees} from "./Helpers/Trees.sol";

contract SumTreeTest is Test {
    function verify(bytes32 root, uint128 total, uint32 count, bytes32 leaf, uint128 sum, Path calldata path)
        external
        pure
        returns (uint128)
    {
        return SumTree.verify(root, total, count, leaf, sum, path);
    }

    function leaves(uint256 n, uint256 seed) internal pure returns (Trees.Leaf[] memory list) {
        list = new Trees.Leaf[](n);
        for (uint256 i = 0; i < n; i++) {
            list[i] = Trees.Leaf(keccak256(abi.encode(seed, i)), uint128(uint256(keccak256(abi.encode(i, seed))) >> 136));
        }
    }

    /// @dev All sizes to 40, all positions: the sums before are those of the list.
    function test_every_leaf_of_every_small_tree() public view {
        for (uint256 n = 1; n <= 40; n++) {
            Trees.Leaf[] memory list = leaves(n, n);
            (bytes32 root, uint128 total) = Trees.root(list);
            uint128 before;
            for (uint256 i = 0; i < n; i++) {
                Path memory path = Trees.path(list, i);
                assertEq(this.verify(root, total, uint32(n), list[i].hash, list[i].sum, path), before);
                before += list[i].sum;
            }
        }
    }

    function testFuzz_nothing_else_verifies(uint256 seed, uint256 n, uint256 i, uint256 what) public {
        n = bound(n, 2, 100);
        i = bound(i, 0, n - 1);
        what = bound(what, 0, 7);
        Trees.Leaf[] memory list = leaves(n, seed);
        (bytes32 root, uint128 total) = Trees.root(list);
        Path memory path = Trees.path(list, i);
        (bytes32 hash, uint128 sum, uint32 count) = (list[i].hash, list[i].sum, uint32(n));
        uint256 level = seed % path.siblings.length;
        if (what == 0) path.index = uint32((i + 1 + seed % (n - 1)) % n);
        if (what == 1) sum++;
        if (what == 2) total++;
        if (what == 3) path.siblings[level].sum++;
        if (what == 4) path.siblings[level].hash ^= bytes32(uint256(1));
        if (what == 5) hash ^= bytes32(uint256(1));
        if (what == 6) path.index = count;
        if (what == 7) path.siblings = new Sibling[](path.siblings.length + 1);
        vm.expectRevert();
        this.verify(root, total, count, hash, sum, path);
    }

    /// @dev The same path under another count that gives other sides or another length must not fit.
    function testFuzz_the_count_is_part_of_the_place(uint256 seed, uint256 n, uint256 other) public {
        n = bound(n, 1, 64);
        other = bound(other, 1, 64);
        Trees.Leaf[] memory list = leaves(n, seed);
        (bytes32 root, uint128 total) = Trees.root(list);
        uint256 i = n - 1; // the last leaf's sides depend on the count
        Path memory path = Trees.path(list, i);
        if (other <= i) vm.expectPartialRevert(SumTree.IndexOutOfRange.selector);
        else if (_sides(n, i) != _sides(other, i)) vm.expectRevert();
        this.verify(root, total, uint32(other), list[i].hash, list[i].sum, path);
    }

    function _sides(uint256 n, uint256 i) private pure returns (bytes32) {
        bytes memory sides;
        while (n > 1) {
            uint256 left = 1;
            while (left * 2 < n) left *= 2;
            if (i < left) (sides, n) = (abi.encodePacked("L", sides), left);
            else (sides, i, n) = (abi.encodePacked("R", sides), i - left, n - left);
        }
        return keccak256(sides);
    }

    function test_sums_beyond_128_bits_are_refused() public {
        Path memory path = Path(0, new Sibling[](1));
        path.siblings[0] = Sibling(bytes32(uint256(1)), type(uint128).max);
        vm.expectRevert();
        this.verify(0, 0, 2, bytes32(uint256(2)), 1, path);
        path.index = 1;
        vm.expectRevert();
        this.verify(0, 0, 2, bytes32(uint256(2)), 1, path);
    }

    function test_a_path_may_be_neither_short_nor_long() public {
        Trees.Leaf[] memory list = leaves(5, 1);
        (bytes32 root, uint128 total) = Trees.root(list);
        Path memory path = Trees.path(list, 1);
        Sibling[] memory all = path.siblings;
        path.siblings = new Sibling[](2);
        vm.expectRevert(SumTree.WrongPathLength.selector);
        this.verify(root, total, 5, list[1].hash, list[1].sum, path);
        path.siblings = new Sibling[](4);
        for (uint256 i = 0; i < 3; i++) path.siblings[i] = all[i];
        vm.expectRevert(SumTree.WrongPathLength.selector);
        this.verify(root, total, 5, list[1].hash, list[1].sum, path);
    }
}
