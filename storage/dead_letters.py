"""Operations on the `dead_letters` collection."""

from pymongo.errors import DuplicateKeyError, PyMongoError

from storage.database import StoreUnavailable
from storage.documents import DeadLetterDocument


async def add(letter: DeadLetterDocument) -> None:
    """Store a letter once, however often it is delivered. Raises StoreUnavailable."""
    try:
        await letter.insert()
    except DuplicateKeyError:
        return
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
