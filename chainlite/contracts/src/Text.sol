// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Text of a Billing NFT's metadata.
/// @notice Names come from strangers and end up inside JSON and XML at once: `plain` lets through only printable ASCII that
/// means nothing in either.
library Text {
    uint256 private constant MAX_PLAIN = 40; // characters; a card has room for no more

    /// @notice At most 40 characters; whatever could end a string or open a tag, or is not ASCII, becomes a dot.
    function plain(string memory text) internal pure returns (string memory) {
        bytes memory from = bytes(text);
        bytes memory to = new bytes(from.length < MAX_PLAIN ? from.length : MAX_PLAIN);
        for (uint256 i = 0; i < to.length; i++) {
            bytes1 c = from[i];
            bool special = c == '"' || c == "'" || c == "\\" || c == "&" || c == "<" || c == ">";
            to[i] = special || c < 0x20 || c > 0x7e ? bytes1(".") : c;
        }
        return string(to);
    }

    /// @notice Wei as coins with nine decimals, cut.
    function coins(uint256 amountWei) internal pure returns (string memory) {
        return string.concat(Strings.toString(amountWei / 1e18), ".", _digits(amountWei % 1e18 / 1e9, 9));
    }

    /// @notice "2026-01-31 23:59:58 UTC".
    function time(uint256 unixSeconds) internal pure returns (string memory) {
        (uint256 year, uint256 month, uint256 day) = _date(unixSeconds / 1 days);
        uint256 second = unixSeconds % 1 days;
        return string.concat(
            string.concat(Strings.toString(year), "-", _digits(month, 2), "-", _digits(day, 2), " "),
            string.concat(
                _digits(second / 3600, 2), ":", _digits(second / 60 % 60, 2), ":", _digits(second % 60, 2), " UTC"
            )
        );
    }

    /// @dev Days since 1970 to a Gregorian date. Years are counted from March, so that the leap day is a year's last, and
    /// months by the line through their lengths: the m-th month after March begins on day (153 m + 2) / 5.
    function _date(uint256 epochDays) private pure returns (uint256 year, uint256 month, uint256 day) {
        uint256 sinceEra = epochDays + 719_468; // from 1 March of year 0
        uint256 era = sinceEra / 146_097; // 400 years
        uint256 dayOfEra = sinceEra % 146_097;
        uint256 yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365;
        uint256 dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
        uint256 shifted = (5 * dayOfYear + 2) / 153;
        day = dayOfYear - (153 * shifted + 2) / 5 + 1;
        month = shifted < 10 ? shifted + 3 : shifted - 9;
        year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
    }

    /// @dev The last `n` decimal digits.
    function _digits(uint256 value, uint256 n) private pure returns (string memory) {
        bytes memory out = new bytes(n);
        for (uint256 i = n; i > 0; i--) {
            out[i - 1] = bytes1(uint8(48 + value % 10));
            value /= 10;
        }
        return string(out);
    }
}
