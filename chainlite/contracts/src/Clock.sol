// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title Time that stands still during a pause.
/// @notice In an emergency the guardian (the owner) may stop new deposits and new batches for at most seven days. Every
/// deadline of the system (disputes, thaws, unbonding) is measured on this clock, so a pause never runs out somebody's
/// deadline; claims, matured withdrawals and challenges go on. A pause ends by itself, and after a pause of n seconds the
/// guardian cannot pause again for n seconds: it may slow the system down by half, never stop it.
contract Clock is Ownable2Step {
    uint64 public constant MAX_PAUSE_SECONDS = 7 days;

    /// @dev One slot; light clients read it to turn block timestamps into clock time.
    struct Pauses {
        uint64 elapsed; // seconds of all pauses before the latest
        uint64 start; // block timestamps of the latest pause
        uint64 end;
    }

    Pauses private _pauses;

    event Paused(uint64 start, uint64 end);
    event Resumed(uint64 end);

    error ClockPaused(uint64 until);
    error PauseTooLong(uint64 maxSeconds);
    error CoolingDown(uint64 until);
    error NotPaused();

    constructor(address guardian) Ownable(guardian) {}

    /// @notice Seconds: block timestamps without the time spent paused. Never decreases.
    function time() public view returns (uint64) {
        Pauses memory p = _pauses;
        uint64 end = block.timestamp < p.end ? uint64(block.timestamp) : p.end;
        return uint64(block.timestamp) - p.elapsed - (end - p.start);
    }

    /// @notice The time, for what a pause stops.
    function timeUnpaused() external view returns (uint64) {
        Pauses memory p = _pauses;
        if (block.timestamp < p.end) revert ClockPaused(p.end);
        return uint64(block.timestamp) - p.elapsed - (p.end - p.start);
    }

    function pauses() external view returns (Pauses memory) {
        return _pauses;
    }

    function pause(uint64 pauseSeconds) external onlyOwner {
        if (pauseSeconds == 0 || pauseSeconds > MAX_PAUSE_SECONDS) revert PauseTooLong(MAX_PAUSE_SECONDS);
        Pauses memory p = _pauses;
        uint64 coolUntil = p.end + (p.end - p.start);
        uint64 current = uint64(block.timestamp);
        if (current < coolUntil) revert CoolingDown(coolUntil);
        _pauses = Pauses(p.elapsed + (p.end - p.start), current, current + pauseSeconds);
        emit Paused(current, current + pauseSeconds);
    }

    /// @notice Ends a pause early.
    function resume() external onlyOwner {
        if (block.timestamp >= _pauses.end) revert NotPaused();
        _pauses.end = uint64(block.timestamp);
        emit Resumed(uint64(block.timestamp));
    }
}
