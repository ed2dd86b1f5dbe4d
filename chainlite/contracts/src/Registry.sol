// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRegistry} from "./Interfaces.sol";
import {Price, Split, Version, priceIdOf, splitIdOf, versionId} from "./Types.sol";

/// @title What bills refer to: items and their versions, prices, splits (docs/protocol.md §1).
/// @notice A row is immutable, its id is the hash of its fields, and what was registered once stays registered: freezing,
/// redirecting or rolling back an item changes what nodes should serve next, never what a bill already names. Everything
/// can be rebuilt from the events; what the chain itself needs, and each item's history, is in storage too.
contract Registry is IRegistry {
    enum Status {
        Active,
        Frozen, // nodes stop serving it; no new version
        Redirected // nodes serve the item it points to
    }

    enum Action {
        Created,
        Published,
        CurrentSet, // rolled back, or forward again
        Frozen,
        Activated,
        Redirected,
        Moved // to another owner
    }

    /// @dev One slot.
    struct Item {
        address owner;
        uint8 kind; // 1 node, 2 Datanet, 3 model, 4 adapter, 5 agent, 6 policy of attribution
        Status status;
        uint32 versions; // how many there are; they count from 1
        uint32 current; // the one to serve; 0 before the first
    }

    /// @dev An entry of an item's history.
    struct Change {
        uint48 at; // block timestamp
        Action action;
        address by; // of Moved: the new owner
        uint32 number; // version, if the action has one
        bytes32 subject; // that version's id; of Redirected: the item it points to
    }

    uint8 public constant KIND_ADAPTER = 4;
    uint8 public constant LAST_KIND = 6;
    uint8 public constant LAST_TIER = 2;
    uint256 public constant MAX_NAME_BYTES = 128;
    uint256 public constant MAX_URI_BYTES = 512;
    uint256 public constant MAX_SOURCES = 64; // parents, and data roots
    uint256 public constant MAX_REDIRECTS = 8;
    uint256 private constant PPB = 1e9;

    /// @notice Publishes splits; the only privileged account here.
    address public immutable timelock;

    mapping(bytes32 id => uint64) private _registeredAt; // light clients read this slot
    mapping(bytes32 item => Item) private _items;
    mapping(bytes32 item => string) private _names;
    mapping(bytes32 item => address) private _offers;
    mapping(bytes32 item => bytes32) private _redirects;
    mapping(bytes32 item => mapping(uint32 number => bytes32)) private _versions;
    mapping(bytes32 item => Change[]) private _history;
    mapping(bytes32 version => bytes32) private _itemOfVersion;

    event ItemCreated(bytes32 indexed id, uint8 indexed kind, address indexed owner, string name);
    event VersionPublished(
        bytes32 indexed id,
        bytes32 indexed item,
        Version version,
        bytes32[] parents,
        bytes32[] dataRoots,
        bytes32 trainingRecord,
        string uri
    );
    event CurrentSet(bytes32 indexed item, uint32 number, bytes32 version);
    event StatusSet(bytes32 indexed item, Status status, bytes32 target);
    event ItemOffered(bytes32 indexed item, address indexed to);
    event ItemMoved(bytes32 indexed item, address indexed from, address indexed to);
    event PricePublished(bytes32 indexed id, address indexed node, bytes32 indexed version, Price price);
    event SplitPublished(bytes32 indexed id, Split split);

    error AlreadyRegistered(bytes32 id);
    error UnknownItem(bytes32 item);
    error UnknownVersion(bytes32 version);
    error NoSuchNumber(uint32 number);
    error OnlyItemOwner(address owner);
    error OnlyOffered(address to);
    error OnlyNode(address node);
    error OnlyTimelock();
    error WrongKind(uint8 kind);
    error WrongTier(uint8 tier);
    error WrongNumber(uint32 expected);
    error WrongMetadata(bytes32 expected);
    error TooLong(uint256 max);
    error EmptyName();
    error ItemIsFrozen(bytes32 item);
    error NotAPart(uint32 ppb);
    error BaseNeeded();
    error NotAWhole(uint256 sum);
    error ZeroAddress();
    error CannotRedirectTo(bytes32 item);
    error TooManyRedirects();
    error NothingToChange();

    constructor(address timelock_) {
        if (timelock_ == address(0)) revert ZeroAddress();
        timelock = timelock_;
    }

    modifier onlyItemOwner(bytes32 item) {
        _requireItemOwner(item);
        _;
    }

    function _requireItemOwner(bytes32 item) private view {
        address owner = _items[item].owner;
        if (owner == address(0)) revert UnknownItem(item);
        if (msg.sender != owner) revert OnlyItemOwner(owner);
    }

    // ---- items and versions ----

    /// @notice The sender becomes the owner. The id keeps its creator for ever, so nobody can take another's name.
    function createItem(uint8 kind, string calldata name) external returns (bytes32 id) {
        if (kind == 0 || kind > LAST_KIND) revert WrongKind(kind);
        if (bytes(name).length == 0) revert EmptyName();
        if (bytes(name).length > MAX_NAME_BYTES) revert TooLong(MAX_NAME_BYTES);
        id = keccak256(abi.encode(kind, msg.sender, name));
        _register(id);
        _items[id] = Item(msg.sender, kind, Status.Active, 0, 0);
        _names[id] = name;
        _record(id, Action.Created, msg.sender, 0, 0);
        emit ItemCreated(id, kind, msg.sender, name);
    }

    /// @notice Publishes the next version and makes it the current one.
    /// @param parents versions this one was made from
    /// @param dataRoots of the Datanets it was trained on
    /// @param uri where the content may be found; what it must hash to is version.contentHash
    function publishVersion(
        Version calldata version,
        bytes32[] calldata parents,
        bytes32[] calldata dataRoots,
        bytes32 trainingRecord,
        string calldata uri
    ) external onlyItemOwner(version.item) returns (bytes32 id) {
        Item storage item = _items[version.item];
        if (item.status == Status.Frozen) revert ItemIsFrozen(version.item);
        if (version.number != item.versions + 1) revert WrongNumber(item.versions + 1);
        _checkBase(item.kind, version);
        _checkSources(version.metadata, parents, dataRoots, trainingRecord);
        if (bytes(uri).length > MAX_URI_BYTES) revert TooLong(MAX_URI_BYTES);
        id = versionId(version);
        _register(id);
        (item.versions, item.current) = (version.number, version.number);
        _versions[version.item][version.number] = id;
        _itemOfVersion[id] = version.item;
        _record(version.item, Action.Published, msg.sender, version.number, id);
        emit VersionPublished(id, version.item, version, parents, dataRoots, trainingRecord, uri);
    }

    function _checkBase(uint8 kind, Version calldata version) private view {
        if (version.basePpb > PPB) revert NotAPart(version.basePpb);
        if (version.baseVersion != 0) {
            _requireVersion(version.baseVersion);
        } else if (kind == KIND_ADAPTER || version.basePpb != 0) {
            revert BaseNeeded();
        }
    }

    function _checkSources(
        bytes32 metadata,
        bytes32[] calldata parents,
        bytes32[] calldata dataRoots,
        bytes32 trainingRecord
    ) private view {
        if (parents.length > MAX_SOURCES || dataRoots.length > MAX_SOURCES) {
            revert TooLong(MAX_SOURCES);
        }
        for (uint256 i = 0; i < parents.length; i++) {
            _requireVersion(parents[i]);
        }
        bytes32 expected = keccak256(abi.encode(parents, dataRoots, trainingRecord));
        if (metadata != expected) revert WrongMetadata(expected);
    }

    function _requireVersion(bytes32 version) private view {
        if (_itemOfVersion[version] == 0) revert UnknownVersion(version);
    }

    // ---- what is served ----

    /// @notice Rolls back to an earlier version, or forward again.
    function setCurrent(bytes32 item, uint32 number) external onlyItemOwner(item) {
        Item storage s = _items[item];
        if (number == 0 || number > s.versions) revert NoSuchNumber(number);
        if (number == s.current) revert NothingToChange();
        s.current = number;
        bytes32 version = _versions[item][number];
        _record(item, Action.CurrentSet, msg.sender, number, version);
        emit CurrentSet(item, number, version);
    }

    function freeze(bytes32 item) external onlyItemOwner(item) {
        _setStatus(item, Status.Frozen, Action.Frozen, 0);
    }

    /// @notice Ends freezing or redirecting.
    function activate(bytes32 item) external onlyItemOwner(item) {
        _setStatus(item, Status.Active, Action.Activated, 0);
    }

    /// @notice Nodes shall serve another item of the same kind instead, whoever owns it.
    function redirect(bytes32 item, bytes32 to) external onlyItemOwner(item) {
        if (to == item || _items[to].kind != _items[item].kind || _items[to].status != Status.Active) {
            revert CannotRedirectTo(to);
        }
        _setStatus(item, Status.Redirected, Action.Redirected, to);
    }

    function _setStatus(bytes32 item, Status status, Action action, bytes32 target) private {
        Item storage s = _items[item];
        if (s.status == status && _redirects[item] == target) revert NothingToChange();
        s.status = status;
        _redirects[item] = target;
        _record(item, action, msg.sender, 0, target);
        emit StatusSet(item, status, target);
    }

    // ---- owners ----

    /// @notice First step of a transfer; 0 takes the offer back.
    function offerItem(bytes32 item, address to) external onlyItemOwner(item) {
        _offers[item] = to;
        emit ItemOffered(item, to);
    }

    function acceptItem(bytes32 item) external {
        address to = _offers[item];
        if (msg.sender != to) revert OnlyOffered(to);
        address from = _items[item].owner;
        _items[item].owner = to;
        delete _offers[item];
        _record(item, Action.Moved, to, 0, 0);
        emit ItemMoved(item, from, to);
    }

    // ---- prices and splits ----

    function publishPrice(Price calldata price) external returns (bytes32 id) {
        if (msg.sender != price.node) revert OnlyNode(price.node);
        if (price.tier > LAST_TIER) revert WrongTier(price.tier);
        _requireVersion(price.version);
        id = priceIdOf(price);
        _register(id);
        emit PricePublished(id, price.node, price.version, price);
    }

    function publishSplit(Split calldata split) external returns (bytes32 id) {
        if (msg.sender != timelock) revert OnlyTimelock();
        uint256 sum = uint256(split.modelPpb) + split.dataPpb + split.validatorsPpb + split.nodePpb;
        if (sum != PPB) revert NotAWhole(sum);
        if (split.validatorsPool == address(0) || split.unattributedPool == address(0) || split.treasury == address(0))
        {
            revert ZeroAddress();
        }
        id = splitIdOf(split);
        _register(id);
        emit SplitPublished(id, split);
    }

    // ---- what others ask ----

    /// @notice Block timestamp of a row's publication; 0: never.
    function registeredAt(bytes32 id) external view returns (uint64) {
        return _registeredAt[id];
    }

    function itemOf(bytes32 item) external view returns (Item memory) {
        return _items[item];
    }

    function nameOf(bytes32 item) external view returns (string memory) {
        return _names[item];
    }

    /// @notice The item that a version belongs to; 0 if there is no such version.
    function itemOfVersion(bytes32 version) external view returns (bytes32) {
        return _itemOfVersion[version];
    }

    function versionAt(bytes32 item, uint32 number) external view returns (bytes32) {
        return _versions[item][number];
    }

    function offeredTo(bytes32 item) external view returns (address) {
        return _offers[item];
    }

    function redirectOf(bytes32 item) external view returns (bytes32) {
        return _redirects[item];
    }

    /// @notice What to serve for an item now: follows redirects. Reverts when it ends at a frozen item.
    function resolve(bytes32 item) external view returns (bytes32 target, bytes32 version) {
        target = item;
        for (uint256 hops = 0; _items[target].status == Status.Redirected; hops++) {
            if (hops == MAX_REDIRECTS) revert TooManyRedirects();
            target = _redirects[target];
        }
        if (_items[target].owner == address(0)) revert UnknownItem(target);
        if (_items[target].status == Status.Frozen) revert ItemIsFrozen(target);
        version = _versions[target][_items[target].current];
    }

    function historyLength(bytes32 item) external view returns (uint256) {
        return _history[item].length;
    }

    function historyAt(bytes32 item, uint256 index) external view returns (Change memory) {
        return _history[item][index];
    }

    // ---- append only ----

    function _register(bytes32 id) private {
        if (_registeredAt[id] != 0) revert AlreadyRegistered(id);
        _registeredAt[id] = uint64(block.timestamp);
    }

    function _record(bytes32 item, Action action, address by, uint32 number, bytes32 subject) private {
        _history[item].push(Change(uint48(block.timestamp), action, by, number, subject));
    }
}
