package io.seglift;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What became of one key of a delete. What was not there is deleted already: success.
 *
 * @param key the key
 * @param failure why it could not be deleted, if so
 */
public record DeleteResult(String key, Optional<SegliftException> failure) {
    /** Takes over the results of the library, one for each key in its order, and frees them. */
    static List<DeleteResult> take(List<String> keys, long results) {
        Unpacker in = new Unpacker(Native.takeResults(results));
        List<DeleteResult> all = new ArrayList<>(keys.size());
        for (String key : keys) {
            boolean failed = in.number() != 0;
            all.add(new DeleteResult(
                    key, failed ? Optional.of(ErrorReport.unpack(in).toException()) : Optional.empty()));
        }
        return List.copyOf(all);
    }
}
