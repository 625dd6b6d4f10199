/// What the reading of one configuration has found so far. Used by one task at a time.
final class Problems {
    private var errors: [ConfigurationError] = []
    private var omitted = 0
    private(set) var notes: [ConfigurationNote] = []
    private var fileOrder: [String: Int] = [:]

    /// Errors are listed in the order in which their files were begun.
    func begin(file: String) {
        if fileOrder[file] == nil { fileOrder[file] = fileOrder.count }
    }

    func add(_ place: Place, _ text: String) {
        guard errors.count < ConfigurationErrors.maximumCount else {
            omitted += 1
            return
        }
        let error = ConfigurationError(place: place, text: text)
        if !errors.contains(error) { errors.append(error) }
    }

    func note(_ place: Place, _ text: String) {
        guard notes.count < ConfigurationErrors.maximumCount else { return }
        notes.append(ConfigurationNote(place: place, text: text))
    }

    /// Nil while there is no error.
    var failure: ConfigurationErrors? {
        guard !errors.isEmpty else { return nil }
        let position = { (place: Place) in (self.fileOrder[place.file] ?? .max, place.line, place.column) }
        return ConfigurationErrors(
            errors: errors.sorted { position($0.place) < position($1.place) }, omitted: omitted)
    }
}
