/// Checks of a file's bytes before YAML is read from them.
enum SourceText {
    /// The bytes without a byte order mark at their start, or nil, with the reason reported, when they are not UTF-8 or
    /// hold a character that an editor does not show as it is: controls, separators that only YAML takes for the end of
    /// a line, bidirectional overrides.
    static func checked(_ bytes: [UInt8], file: String, problems: Problems) -> [UInt8]? {
        let bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        var line = 1
        var column = 1
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var endsWithReturn = false
        while true {
            let place = Place(file: file, line: line, column: column)
            switch decoder.decode(&iterator) {
            case .emptyInput:
                if endsWithReturn { problems.add(place, Self.loneReturn) }
                return endsWithReturn ? nil : bytes
            case .error:
                problems.add(place, "expected UTF-8")
                return nil
            case .scalarValue(let scalar):
                if endsWithReturn, scalar != "\n" {
                    problems.add(place, Self.loneReturn)
                    return nil
                }
                endsWithReturn = scalar == "\r"
                if scalar == "\n" {
                    line += 1
                    column = 1
                    continue
                }
                guard scalar == "\t" || scalar == "\r" || !scalar.isInvisible else {
                    problems.add(
                        place,
                        "the character \(String(scalar).readable(limit: 1)) is not accepted as such; "
                            + "where it is meant, write its escape in double quotes")
                    return nil
                }
                column += 1
            }
        }
    }

    private static let loneReturn = "expected a line feed after the carriage return"
}
