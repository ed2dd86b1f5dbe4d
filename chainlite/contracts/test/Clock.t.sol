// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Test} from "forge-std/Test.sol";
import {Clock} from "../src/Clock.sol";

contract ClockTest is Test {
    address internal guardian = makeAddr("guardian");
    Clock internal clock;

    function setUp() public {
        vm.warp(1_750_000_000);
        clock = new Clock(guardian);
    }

    function pause(uint64 secs) internal {
        vm.prank(guardian);
        clock.pause(secs);
    }

    function pass(uint256 secs) internal {
        vm.warp(vm.getBlockTimestamp() + secs);
    }

    function test_it_is_the_block_time_without_pauses() public {
        assertEq(clock.time(), 1_750_000_000);
        assertEq(clock.timeUnpaused(), 1_750_000_000);
        pause(100);
        pass(60);
        assertEq(clock.time(), 1_750_000_000);
        vm.expectRevert(abi.encodeWithSelector(Clock.ClockPaused.selector, 1_750_000_100));
        clock.timeUnpaused();
        pass(40);
        assertEq(clock.timeUnpaused(), 1_750_000_000);
        pass(100); // the cool-down is over
        pause(7 days);
        pass(8 days);
        assertEq(clock.time(), 1_750_000_100 + 1 days);
        assertEq(clock.pauses().elapsed, 100);
    }

    function test_an_early_end_counts_what_was_paused() public {
        pause(100);
        pass(30);
        vm.prank(guardian);
        clock.resume();
        assertEq(clock.timeUnpaused(), 1_750_000_000);
        vm.prank(guardian);
        vm.expectRevert(Clock.NotPaused.selector);
        clock.resume();
        pass(29);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(Clock.CoolingDown.selector, 1_750_000_060));
        clock.pause(1);
        pass(1);
        pause(1);
    }

    function test_a_pause_cannot_be_prolonged_or_too_long() public {
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(Clock.PauseTooLong.selector, 7 days));
        clock.pause(7 days + 1);
        vm.expectRevert(abi.encodeWithSelector(Clock.PauseTooLong.selector, 7 days));
        clock.pause(0);
        clock.pause(7 days);
        vm.expectPartialRevert(Clock.CoolingDown.selector);
        clock.pause(7 days);
        pass(14 days - 1);
        vm.expectPartialRevert(Clock.CoolingDown.selector);
        clock.pause(7 days);
    }

    function test_only_the_guardian() public {
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        clock.pause(1);
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        clock.resume();
        vm.prank(guardian);
        clock.transferOwnership(address(this));
        assertEq(clock.owner(), guardian);
        clock.acceptOwnership();
        assertEq(clock.owner(), address(this));
    }

    /// @dev It never runs backwards, never faster than blocks, and at least half as fast in the long run.
    function testFuzz_it_runs_forward(uint256 seed) public {
        uint64 before = clock.time();
        uint256 started = vm.getBlockTimestamp();
        for (uint256 i = 0; i < 40; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.prank(guardian);
            try clock.pause(uint64(seed % 8 days)) {} catch {}
            uint256 step = (seed >> 128) % 3 days;
            pass(step);
            if (seed >> 250 == 0) {
                vm.prank(guardian);
                try clock.resume() {} catch {}
            }
            uint64 current = clock.time();
            assertGe(current, before);
            assertLe(current - before, step);
            before = current;
        }
        uint256 elapsed = vm.getBlockTimestamp() - started;
        assertGe(before - 1_750_000_000 + 7 days, elapsed / 2);
    }
}
