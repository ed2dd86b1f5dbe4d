// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Text} from "./Text.sol";

/// @title How a Billing NFT looks: its JSON and one SVG card, both made on chain.
library BillingCard {
    using Strings for uint256;

    /// @dev What a bill said, as it is kept. Five slots.
    struct Bill {
        uint64 startTimeMs;
        uint32 queueMs;
        uint32 prefillMs;
        uint32 decodeMs;
        uint32 promptTokens;
        uint32 cachedTokens;
        uint32 outputTokens;
        uint128 royalty;
        uint128 compute;
        uint32 modelPpb;
        uint32 dataPpb;
        uint32 validatorsPpb;
        uint32 nodePpb;
        uint64 epoch;
        uint64 submittedAt;
        bytes32 version; // the adapter's, or the model's without an adapter
        uint128 creditsTotal; // of the batch
        uint64 sequence;
        int32 meanLogprobMicro;
        uint8 status;
    }

    /// @dev What is looked up when somebody looks at the card.
    struct Context {
        address node;
        uint64 batch;
        uint32 leaf;
        string name; // of the item; already plain
        string symbol; // likewise
        uint256 unclaimed;
        uint256 bills; // in the node's index
        uint256 milliTokensPerSecond; // the node's index
    }

    uint256 private constant PPB = 1e9;
    uint256 private constant BAR = 432; // width of both bars

    function uri(Bill memory b, Context memory c) internal pure returns (string memory) {
        return string.concat("data:application/json;base64,", Base64.encode(bytes(json(b, c))));
    }

    function json(Bill memory b, Context memory c) internal pure returns (string memory) {
        string memory name =
            string.concat('{"name":"Bill ', uint256(c.batch).toString(), "/", uint256(c.leaf).toString(), '",');
        string memory image =
            string.concat('"image":"data:image/svg+xml;base64,', Base64.encode(bytes(svg(b, c))), '",');
        return string.concat(
            name,
            '"description":"Record of one paid answer. It confers no claim on fees, credits or rewards.",',
            image,
            string.concat('"attributes":[', _attributes(b, c), "]}")
        );
    }

    // ---- JSON ----

    function _attributes(Bill memory b, Context memory c) private pure returns (string memory) {
        return string.concat(_subject(b, c), ",", _tokens(b), ",", _money(b, c));
    }

    function _subject(Bill memory b, Context memory c) private pure returns (string memory out) {
        out = string.concat(_text("Node", Strings.toHexString(c.node)), ",", _text("Served", c.name));
        out = string.concat(out, ",", _text("Status", _status(b.status)), ",", _number("Epoch", b.epoch));
        out = string.concat(out, ",", _number("Sequence", b.sequence));
    }

    function _tokens(Bill memory b) private pure returns (string memory out) {
        out = string.concat(_number("Prompt tokens", b.promptTokens), ",", _number("Cached tokens", b.cachedTokens));
        out = string.concat(out, ",", _number("Output tokens", b.outputTokens), ",");
        out = string.concat(out, _text("Mean log-probability (millionths)", Strings.toStringSigned(b.meanLogprobMicro)));
    }

    function _money(Bill memory b, Context memory c) private pure returns (string memory out) {
        out = _text("Royalty (wei)", uint256(b.royalty).toString());
        out = string.concat(out, ",", _text("Compute (wei)", uint256(b.compute).toString()));
        out = string.concat(out, ",", _text("Unclaimed credits of the epoch (wei)", c.unclaimed.toString()));
        out = string.concat(out, ",", _text("Performance index (output tokens/s)", _milli(c.milliTokensPerSecond)));
    }

    function _text(string memory trait, string memory value) private pure returns (string memory) {
        return string.concat('{"trait_type":"', trait, '","value":"', value, '"}');
    }

    function _number(string memory trait, uint256 value) private pure returns (string memory) {
        return string.concat('{"trait_type":"', trait, '","value":', value.toString(), "}");
    }

    function _status(uint8 status) private pure returns (string memory) {
        if (status == 1) return "complete";
        if (status == 2) return "complete (length)";
        if (status == 3) return "cancelled";
        return "failed";
    }

    function _milli(uint256 value) private pure returns (string memory) {
        return string.concat((value / 1000).toString(), ".", (value % 1000 / 100).toString());
    }

    // ---- SVG ----

    function svg(Bill memory b, Context memory c) internal pure returns (string memory) {
        string memory upper = string.concat(_head(b, c), _timeline(b), _revenue(b, c));
        return string.concat(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 336" font-family="sans-serif" font-size="12" fill="#555">'
            '<rect width="480" height="336" rx="12" fill="#fff" stroke="#ddd"/>',
            upper,
            _foot(b, c),
            "</svg>"
        );
    }

    function _at(uint256 x, uint256 y, string memory rest, string memory text) private pure returns (string memory) {
        string memory place = string.concat('<text x="', x.toString(), '" y="', y.toString(), '"');
        return string.concat(place, rest, ">", text, "</text>");
    }

    function _head(Bill memory b, Context memory c) private pure returns (string memory) {
        string memory id =
            string.concat("batch ", uint256(c.batch).toString(), " \xc2\xb7 leaf ", uint256(c.leaf).toString());
        return string.concat(
            _at(24, 40, ' font-size="20" fill="#111"', c.name),
            _at(456, 40, ' text-anchor="end"', id),
            _at(24, 62, "", string.concat(Text.time(b.startTimeMs / 1000), " \xc2\xb7 ", _status(b.status))),
            _at(24, 80, ' font-size="10"', string.concat("node ", Strings.toHexString(c.node)))
        );
    }

    function _timeline(Bill memory b) private pure returns (string memory) {
        uint256[] memory parts = new uint256[](3);
        (parts[0], parts[1], parts[2]) = (b.queueMs, b.prefillMs, b.decodeMs);
        return string.concat(
            _bar(108, parts),
            _at(24, 144, "", string.concat("queue ", parts[0].toString(), " ms")),
            _at(168, 144, "", string.concat("prefill ", parts[1].toString(), " ms")),
            _at(312, 144, "", string.concat("decode ", parts[2].toString(), " ms"))
        );
    }

    /// @dev The royalty's parts by prefix rounding and compute.
    function _parts(Bill memory b) private pure returns (uint256[] memory parts) {
        uint256[4] memory ppb = [uint256(b.modelPpb), b.dataPpb, b.validatorsPpb, b.nodePpb];
        parts = new uint256[](5);
        uint256 until = 0;
        for (uint256 i = 0; i < 4; i++) {
            parts[i] = b.royalty * (until + ppb[i]) / PPB - b.royalty * until / PPB;
            until += ppb[i];
        }
        parts[4] = b.compute;
    }

    function _revenue(Bill memory b, Context memory c) private pure returns (string memory) {
        uint256[] memory parts = _parts(b);
        string memory total = string.concat(Text.coins(uint256(b.royalty) + b.compute), " ", c.symbol);
        return string.concat(
            _at(24, 178, ' font-size="16" fill="#111"', total),
            _bar(190, parts),
            string.concat(_label(24, 226, "model ", parts[0]), _label(168, 226, "data ", parts[1])),
            _label(312, 226, "validators ", parts[2]),
            string.concat(_label(24, 244, "node ", parts[3]), _label(168, 244, "compute ", parts[4]))
        );
    }

    function _label(uint256 x, uint256 y, string memory name, uint256 amount) private pure returns (string memory) {
        return _at(x, y, "", string.concat(name, Text.coins(amount)));
    }

    function _foot(Bill memory b, Context memory c) private pure returns (string memory) {
        string memory tokens = string.concat(
            uint256(b.promptTokens).toString(), " prompt (", uint256(b.cachedTokens).toString(), " cached) \xc2\xb7 "
        );
        tokens = string.concat(tokens, uint256(b.outputTokens).toString(), " output tokens");
        string memory index = string.concat(
            "node index ",
            _milli(c.milliTokensPerSecond),
            " output tokens/s over ",
            c.bills.toString(),
            " bills of others"
        );
        return string.concat(
            '<path d="M24 258H456" stroke="#ddd"/>',
            _at(24, 280, "", tokens),
            _at(24, 298, "", index),
            _at(24, 316, "", string.concat("unclaimed credits of the epoch ", Text.coins(c.unclaimed), " ", c.symbol))
        );
    }

    /// @dev Parts side by side in proportion.
    function _bar(uint256 y, uint256[] memory parts) private pure returns (string memory out) {
        string[5] memory colours = ["#2f6f8f", "#e0a030", "#7a9e5f", "#b5533c", "#8a7fb0"];
        uint256 total = 0;
        for (uint256 i = 0; i < parts.length; i++) {
            total += parts[i];
        }
        out = _box(24, y, BAR, "#eee");
        if (total == 0) return out;
        // From the last to the first: each reaches from the left end and covers what it does not own of the one before.
        uint256 end = total;
        for (uint256 i = parts.length; i > 0; i--) {
            if (parts[i - 1] > 0) out = string.concat(out, _box(24, y, BAR * end / total, colours[i - 1]));
            end -= parts[i - 1];
        }
    }

    function _box(uint256 x, uint256 y, uint256 width, string memory colour) private pure returns (string memory) {
        string memory place = string.concat('<rect x="', x.toString(), '" y="', y.toString());
        return string.concat(place, '" width="', width.toString(), string.concat('" height="18" fill="', colour, '"/>'));
    }
}
