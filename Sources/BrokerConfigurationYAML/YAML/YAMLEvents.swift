internal import CYaml

/// The events of libyaml over one file, as Swift values.
///
/// Yams itself is not used above this level: it follows aliases while it builds its tree and then hashes every key, so
/// that a short file of nested aliases takes for ever. Here nothing follows an alias.
final class YAMLEvents {
    struct Event {
        enum Kind {
            case documentStart(hasDirectives: Bool)
            case listStart, listEnd, mappingStart, mappingEnd
            case scalar(String, isPlain: Bool)
            case alias
            case streamEnd
            /// Stream start and document end: nothing to do.
            case other
        }

        let kind: Kind
        let place: Place
        let hasAnchor: Bool
        let hasTag: Bool
    }

    struct SyntaxError: Error {
        let place: Place
        let text: String
    }

    private let file: String
    // Both stay where they are while the parser lives: it keeps the address of its input and of itself.
    private let input: UnsafeMutableBufferPointer<UInt8>
    private let parser: UnsafeMutablePointer<yaml_parser_t>

    init(_ bytes: [UInt8], file: String) {
        self.file = file
        input = .allocate(capacity: max(bytes.count, 1))
        _ = input.update(fromContentsOf: bytes)
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        // A parser that could not be initialised fails at its first event.
        if yaml_parser_initialize(parser) == 1 {
            yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(parser, input.baseAddress, bytes.count)
        }
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    func next() throws(SyntaxError) -> Event {
        var event = yaml_event_t()
        guard parser.pointee.read_handler != nil, yaml_parser_parse(parser, &event) == 1 else { throw syntaxError }
        defer { yaml_event_delete(&event) }
        let place = place(event.start_mark)
        let data = event.data
        func made(
            _ kind: Event.Kind, anchor: UnsafeMutablePointer<UInt8>? = nil, tag: UnsafeMutablePointer<UInt8>? = nil
        )
            -> Event
        {
            Event(kind: kind, place: place, hasAnchor: anchor != nil, hasTag: tag != nil)
        }
        switch event.type {
        case YAML_DOCUMENT_START_EVENT:
            let document = data.document_start
            let hasTagDirectives = document.tag_directives.start != document.tag_directives.end
            return made(.documentStart(hasDirectives: document.version_directive != nil || hasTagDirectives))
        case YAML_SEQUENCE_START_EVENT:
            return made(.listStart, anchor: data.sequence_start.anchor, tag: data.sequence_start.tag)
        case YAML_MAPPING_START_EVENT:
            return made(.mappingStart, anchor: data.mapping_start.anchor, tag: data.mapping_start.tag)
        case YAML_SCALAR_EVENT:
            let scalar = data.scalar
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return made(
                .scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), anchor: scalar.anchor, tag: scalar.tag)
        case YAML_SEQUENCE_END_EVENT: return made(.listEnd)
        case YAML_MAPPING_END_EVENT: return made(.mappingEnd)
        case YAML_ALIAS_EVENT: return made(.alias)
        case YAML_STREAM_END_EVENT: return made(.streamEnd)
        default: return made(.other)
        }
    }

    private func place(_ mark: yaml_mark_t) -> Place {
        Place(file: file, line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }

    private var syntaxError: SyntaxError {
        let place = place(parser.pointee.problem_mark)
        if indentationHasTab(line: place.line) {
            return SyntaxError(place: place, text: "expected spaces: a tab does not indent in YAML")
        }
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "it could not be read"
        return SyntaxError(place: place, text: "not valid YAML: \(problem)")
    }

    private func indentationHasTab(line: Int) -> Bool {
        let lines = input.split(separator: UInt8(ascii: "\n"), maxSplits: line, omittingEmptySubsequences: false)
        guard lines.indices.contains(line - 1) else { return false }
        return lines[line - 1].prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            .contains(UInt8(ascii: "\t"))
    }
}
