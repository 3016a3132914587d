"""May a token that is confined to a branch ask about customers here? No: rules do not know whose home a branch is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request

from libs.common.auth import principal_of
from libs.common.errors import Forbidden

_ID = r"^[A-Za-z0-9._:-]{1,100}$"

CustomerId = Annotated[str, Path(pattern=_ID, description="The customer's id.")]
RuleIdPath = Annotated[str, Path(max_length=100)]
ID_PATTERN = _ID


async def whole_company(request: Request) -> None:
    """Stands before what tells of customers of all branches."""
    who = principal_of(request)
    if who is not None and who.branch is not None:
        raise Forbidden(
            f"The token is confined to the branch {who.branch}, and the rules service does not know which customers"
            " belong to it; ask with a token of the whole company."
        )
